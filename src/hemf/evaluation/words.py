"""Measures in words."""

from typing import Any


def measure_text(measure: dict[str, Any]) -> str:
    """A measure in a sentence: value and interval, or why there is no value."""
    if measure["value"] is None:
        return f"undefined ({measure['reason']})"
    interval = measure.get("ci95")
    return f"{measure['value']:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
