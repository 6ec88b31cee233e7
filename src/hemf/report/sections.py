"""Turns the report of an evaluation into the sections of its page, each a function of what is known."""

from collections.abc import Mapping
from typing import Any

from hemf.core.text import counted, in_words
from hemf.metrics.wording import interval_text, value_text
from hemf.report import tables
from hemf.report.elements import Cards, Facts, Gallery, Part, Sentences, Tabular, picture
from hemf.report.material import Material
from hemf.report.provenance import made_with, training
from hemf.report.terminal import HEADLINE, interval_lines, provenance_lines

CARDS = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_macro")
MOST_FITTED = 12  # a confusion matrix of more classes is illegible in the width of a page
MOST_NAMED = 10  # more classes than this make an alternative text no one would listen to


def title_of(report: Mapping[str, Any]) -> str:
    """Return the page's title."""
    return f"{report['model']} on {report['data']['name']}, {report['split']} split"


def tested(material: Material) -> list[Part]:
    """Show what was tested, on which split chosen how, and whether it leaks."""
    report = material.report
    about = {k: v for k, v in report["split_info"].items() if k != "method" and v is not None}
    present = counted(len(report["averaged_over"]), "class", "classes")
    rows = [
        ("Data set", f"{report['data']['name']} ({report['data']['hash'][:12]})"),
        ("Split", f"{report['split']}: {material.images} of {present}"),
        ("Split method", report["split_method"] or "unknown"),
        *([("Split made with", ", ".join(f"{k} {_setting(v)}" for k, v in about.items()))] if about else []),
        ("Model", f"{report['model']}, from {report['run']}"),
        *_trained_on(report),
    ]
    return [Facts(rows), Sentences(provenance_lines(report)[1:])]


def _trained_on(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Show on which images the model was trained, where the run tells."""
    if not (about := report.get("trained_on")):
        return []
    return [("Trained on", f"{about['name']} ({about['hash'][:12]}): {counted(about['images'], 'image')}")]


def measures(material: Material) -> list[Part]:
    """Show the headline and every other measure of the whole split."""
    found = material.report["metrics"]
    cards = [
        (HEADLINE[name], value, _below(found[name]))
        for name in CARDS
        if (value := value_text(found.get(name))) is not None
    ]
    return [
        Cards(cards),
        Sentences(_intervals(material.report)),
        Tabular(tables.measures_table(material.report)),
    ]


def classes(material: Material) -> list[Part]:
    """Show the measures of each class."""
    return [Tabular(tables.classes_table(material.report))]


def confusion(material: Material) -> list[Part]:
    """Show which class is taken for which."""
    report, counts = material.report, material.report["confusion_matrix"]
    right = sum(row[k] for k, row in enumerate(counts))
    of = counted(len(counts), "class", "classes")
    alt = f"Confusion matrix of {of}: {right} of {material.images} on the diagonal."
    caption = "Rows are true classes, columns predictions; the shade is the share of the row."
    alt += " The table below holds every count."
    whole = len(counts) > MOST_FITTED
    figure = picture(material.folder / "confusion-matrix.svg", alt, caption, whole)
    return [*figure, Tabular(tables.confusion_table(report), folded=whole)]


def curves(material: Material) -> list[Part]:
    """Show how well each class is ranked before the rest."""
    report = material.report
    roc = picture(
        material.folder / "roc.svg",
        f"ROC curve of each class against the rest. {_areas(report, 'roc_auc', 'Areas under the curves')}",
        "Sensitivity against false positive rate at every threshold. The dotted diagonal is guessing.",
    )
    precision = picture(
        material.folder / "precision-recall.svg",
        f"Precision over recall of each class. {_areas(report, 'average_precision', 'Average precisions')}",
        "Precision against recall at every threshold. The thin level lines are guessing: the class's share.",
    )
    return [*roc, *precision]


def calibration(material: Material) -> list[Part]:
    """Show whether a probability of 0.8 is right in 80% of the cases."""
    found = material.report.get("calibration")
    if not found:
        return []
    figure = picture(
        material.folder / "reliability.svg",
        "Reliability diagram: accuracy against confidence. The table of bins below holds its values.",
        "On the diagonal, confidence is what it promises; below it the model is too sure of itself.",
    )
    bins = [Tabular(table, folded=True) for table in tables.bins_table(material.report)]
    lines = [_temperature(found), *(found.get("left_out") or ())]
    return [Sentences(lines), *map(Tabular, tables.calibration_tables(material.report)), *figure, *bins]


def prediction_sets(material: Material) -> list[Part]:
    """Show sets of classes that hold the true one as often as promised."""
    found = material.report.get("conformal")
    if not found:
        return []
    lines = ["A prediction set holds every class that cannot be ruled out; the model abstains where it must."]
    if found.get("target") is not None:
        lines.append(f"Asked for: the true class in {found['target']:.0%} of the sets.")
    return [Sentences(lines), *map(Tabular, tables.conformal_tables(material.report))]


def operating_points(material: Material) -> list[Part]:
    """Show thresholds for one class against the rest."""
    points = material.report.get("operating_points")
    if not points:
        return []
    chosen = sorted({str(point["chosen_on"]) for point in points if point.get("chosen_on")})
    where = _fitted_on(material.report.get("calibration") or {}) or f"the split {', '.join(chosen)}"
    lines = [f"The thresholds were chosen on {where}. The values are those of this split."]
    return [*([Sentences(lines)] if chosen else []), *map(Tabular, tables.points_tables(material.report))]


def folds(material: Material) -> list[Part]:
    """Show the measures of each fold of a cross-validation."""
    return list(map(Tabular, tables.folds_tables(material.report)))


def worst_mistakes(material: Material) -> list[Part]:
    """Show the images that the model was most sure about and wrong."""
    if material.mistakes is None:
        return []
    if not material.mistakes:
        return [Sentences(["No image was classified wrongly."])]
    lines = [
        "The images that the model was most sure about and wrong, as it saw them. They are part of this "
        "file: pass it on only to those who may see the data."
    ]
    if any(mistake.heat for mistake in material.mistakes):
        lines.append("The second picture shows where the model found its wrong answer (Grad-CAM++).")
    return [Sentences(lines), Gallery(material.mistakes)]


SECTIONS = {
    "What was tested": tested,
    "Measures": measures,
    "Classes": classes,
    "Confusion matrix": confusion,
    "Curves": curves,
    "Calibration": calibration,
    "Prediction sets": prediction_sets,
    "Operating points": operating_points,
    "Folds": folds,
    "Training": training,
    "Worst mistakes": worst_mistakes,
    "How this was made": made_with,
}


def _below(measure: Mapping[str, Any]) -> str:
    """Return what stands below a card's value: its interval, or why there is none."""
    why = measure.get("no_interval")
    return interval_text(measure) or ("no interval" + (f": {why}" if why else ""))


def _temperature(found: Mapping[str, Any]) -> str:
    """Show what was done to the probabilities."""
    temperature, where = found.get("temperature"), _fitted_on(found)
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


def _fitted_on(found: Mapping[str, Any]) -> str | None:
    """Return the images that a calibration was fitted on; None where that is not known."""
    about = found.get("fitted_on")
    if not about:
        return None
    side = "" if about["split"] == "all" else f"{about['split']} "
    return f"{counted(about['n'], f'{side}image')} of {about['data']}"


def _setting(value: Any) -> str:
    """Return a value of the split's description in words."""
    if isinstance(value, Mapping) and not any(isinstance(one, Mapping | list) for one in value.values()):
        return "/".join(map(str, value.values()))
    return in_words(value)


def _areas(report: Mapping[str, Any], name: str, words: str) -> str:
    """Return the areas of the classes' curves in a sentence, as far as one would listen."""
    found = {k: value_text(one.get(name)) for k, one in report["per_class"].items()}
    if len(found) > MOST_NAMED:
        return f"{words} are in the table of classes."
    return f"{words}: {', '.join(f'{k} {value}' for k, value in found.items() if value) or 'none'}."


def _intervals(report: Mapping[str, Any]) -> list[str]:
    """Show how the intervals were made, and what they leave out."""
    if "intervals" not in report:
        return ["95% intervals are Wilson's, for proportions, and treat images as independent."]
    limit = (
        "They tell how far the numbers would move with other images of this kind, not with another training."
    )
    return [*interval_lines(report["intervals"]), limit]
