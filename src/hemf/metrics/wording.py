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


def of_hundred(measure: Mapping[str, Any] | None, others: bool = False) -> str | None:
    """Write a share so that it can be read aloud: ``85 (79 to 90)`` of a hundred; None where it is undefined.

    Args:
        measure: a share from 0 to 1, with its interval.
        others: speak of those that the share leaves out.
    """
    value, *ends = _hundredths(measure, others) or [None]
    return f"{value} ({ends[0]} to {ends[1]})" if ends else value


def hundred_cell(measure: Mapping[str, Any] | None, others: bool = False) -> str | None:
    """Write the same for a table: ``85 [79, 90]``."""
    value, *ends = _hundredths(measure, others) or [None]
    return f"{value} [{ends[0]}, {ends[1]}]" if ends else value


def _hundredths(measure: Mapping[str, Any] | None, others: bool) -> list[str]:
    """Write a share and the ends of its interval in percent, so that only none is 0 and only all is 100."""
    if not measure or measure.get("value") is None:
        return []
    ends = measure.get("ci95") or ()
    shares = [1 - one if others else one for one in (measure["value"], *(reversed(ends) if others else ends))]
    percent = [round(100 * share) for share in shares]
    return [
        "< 1" if share > 0 and n == 0 else "> 99" if share < 1 and n == 100 else str(n)
        for share, n in zip(shares, percent, strict=True)
    ]
