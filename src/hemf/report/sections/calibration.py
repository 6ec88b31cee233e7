"""Whether probabilities can be taken at their word, and what sets and thresholds made of them do."""

from collections.abc import Mapping
from typing import Any

from hemf.core.text import counted
from hemf.pages.elements import Beside, Part, Sentences, Tabular
from hemf.report import tables
from hemf.report.material import Material
from hemf.report.sections.measures import MOST_LISTED


def calibration(material: Material) -> list[Part]:
    """Show whether a probability of 0.8 is right in 80% of the cases."""
    found = material.report.get("calibration")
    if not found:
        return []
    figure = material.drawing(
        "reliability",
        "Reliability diagram: accuracy against confidence. The table of bins beside it holds its values.",
        "On the diagonal, confidence is what it promises; below it the model is too sure of itself.",
    )
    bins = [Tabular(table, folded=True) for table in tables.bins_table(material.report)]
    lines = [_temperature(found), *(found.get("left_out") or ())]
    told = [Sentences(lines), *map(Tabular, tables.calibration_tables(material.report)), *bins]
    more = [*tables.slopes_tables(material.report), *tables.benefit_tables(material.report)]
    below = [Tabular(table, folded=True) for table in more]
    return [Beside([figure, told]), *below] if figure else [*told, *below]


def prediction_sets(material: Material) -> list[Part]:
    """Show sets of classes that hold the true one as often as promised."""
    found = material.report.get("conformal")
    if not found:
        return []
    lines = ["A prediction set holds every class that cannot be ruled out; the model abstains where it must."]
    if found.get("target") is not None:
        each = " of every class" if found.get("conditional") == "class" else ""
        lines.append(f"Asked for: the true class in {found['target']:.0%} of the sets{each}.")
    whole, *of_classes = tables.conformal_tables(material.report)
    by_class = [Tabular(one, folded=len(one.rows) > MOST_LISTED) for one in of_classes]
    return [Beside([[Sentences(lines), Tabular(whole)], by_class])]


def operating_points(material: Material) -> list[Part]:
    """Show thresholds for one class against the rest, in shares and of a hundred with and without it."""
    points = material.report.get("operating_points")
    if not points:
        return []
    chosen = sorted({str(point["chosen_on"]) for point in points if point.get("chosen_on")})
    where = fitted_on(material.report.get("calibration") or {}) or f"the split {', '.join(chosen)}"
    lines = [f"The thresholds were chosen on {where}. The values are those of this split."]
    shown = tables.points_tables(material.report)
    return [
        *([Sentences(lines)] if chosen else []),
        *map(Tabular, tables.hundred_tables(material.report)),
        *(Tabular(table, folded=True) for table in shown),
    ]


def _temperature(found: Mapping[str, Any]) -> str:
    """Show what was done to the probabilities."""
    temperature, where = found.get("temperature"), fitted_on(found)
    if temperature is not None:
        low, high = found.get("temperature_ci95") or (None, None)
        interval = "" if low is None else f" (95% interval {low:.3f} to {high:.3f})"
        by = f"Logits are divided by the temperature {temperature:.3f}{interval}"
        return f"{by}, fitted on {where}." if where else f"{by}."
    of_folds = found.get("fold_temperatures") or []
    if calibrated := [one for one in of_folds if one is not None]:
        if len(calibrated) == len(of_folds):
            return "Each fold's probabilities are calibrated by its own model."
        return (
            f"The models of {len(calibrated)} of {counted(len(of_folds), 'fold')} calibrate their "
            "probabilities."
        )
    return "The probabilities are the model's own: no temperature was fitted."


def fitted_on(found: Mapping[str, Any]) -> str | None:
    """Return the images that a calibration was fitted on; None where that is not known."""
    about = found.get("fitted_on")
    if not about:
        return None
    side = "" if about["split"] == "all" else f"{about['split']} "
    return f"{counted(about['n'], f'{side}image', form=',')} of {about['data']}"
