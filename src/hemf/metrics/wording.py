"""Measures in words."""

from collections.abc import Mapping
from typing import Any


def value_text(measure: Mapping[str, Any] | None, form: str = ".3f") -> str | None:
    """Return a measure's value; None where it is undefined."""
    value = None if measure is None else measure.get("value")
    return None if value is None else format(value, form)


def interval_text(measure: Mapping[str, Any] | None, between: str = " to ", form: str = ".3f") -> str | None:
    """Return the ends of a measure's 95% interval; None where there is none."""
    ends = (measure or {}).get("ci95")
    return between.join(format(end, form) for end in ends) if ends else None


def cell_text(measure: Mapping[str, Any] | None, between: str = ", ", form: str = ".3f") -> str | None:
    """Return a measure's value and interval, such as 0.899 [0.861, 0.932]; None where it is undefined."""
    value, interval = value_text(measure, form), interval_text(measure, between, form)
    return f"{value} [{interval}]" if value and interval else value


def measure_text(measure: Mapping[str, Any]) -> str:
    """Return a measure in a sentence: value and interval, or why there is no value or no interval."""
    found, why = cell_text(measure), measure.get("no_interval")
    if found is None:
        return f"undefined ({measure['reason']})"
    return f"{found} (no interval: {why})" if why and not measure.get("ci95") else found


def reason_lines(per_class: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    """Return why measures of classes have no value or no interval: a sentence for each reason.

    Args:
        per_class: measures per class of a report.
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
