"""Measures in words."""

from collections.abc import Mapping
from typing import Any


def measure_text(measure: Mapping[str, Any]) -> str:
    """A measure in a sentence: value and interval, or why there is no value or no interval."""
    if measure["value"] is None:
        return f"undefined ({measure['reason']})"
    value, interval = f"{measure['value']:.3f}", measure.get("ci95")
    if interval:
        return f"{value} [{interval[0]:.3f}, {interval[1]:.3f}]"
    why = measure.get("no_interval")
    return f"{value} (no interval: {why})" if why else value


def reason_lines(per_class: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    """Why measures of classes have no value or no interval: a sentence for each reason.

    Args:
        per_class: of a report.
        words: name of each measure to speak of, by its key.
    """
    missing: dict[tuple[str, str], list[str]] = {}
    for name, of_class in per_class.items():
        if of_class["absent"]:
            what = "every measure but the specificity is undefined"
            missing.setdefault((what, "the split has no image of the class"), []).append(name)
        for key, measure in words.items():
            one = of_class[key]
            if one["value"] is None and not of_class["absent"]:
                missing.setdefault((f"{measure} is undefined", one["reason"]), []).append(name)
            elif one["value"] is not None and "no_interval" in one:
                missing.setdefault((f"{measure} has no interval", one["no_interval"]), []).append(name)
    return [f"–: {what} ({why}): {', '.join(names)}." for (what, why), names in missing.items()]
