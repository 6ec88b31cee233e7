"""Prints an evaluation in words and tables, for people."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from hemf.core.tables import Column, Table
from hemf.core.text import counted, patients, printable
from hemf.inference.tta import other_tta_line, views_line
from hemf.metrics.wording import cell_text, interval_text, measure_text, reason_lines, value_text

ROUGH = 20  # patients, below which intervals of 95% were measured to hold these less than 90% of the time
HEADLINE = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision_macro": "precision, macro",
    "recall_macro": "recall, macro",
    "f1_macro": "F1, macro",
    "specificity_macro": "specificity, macro",
    "mcc": "MCC",
    "kappa": "Cohen's kappa",
    "roc_auc_macro": "ROC AUC, macro",
    "average_precision_macro": "average precision, macro",
    "log_loss": "log-loss",
}
OF_CLASS = {
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "roc_auc": "AUC",
    "average_precision": "AP",
}
OF_FOLD = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced acc.",
    "f1_macro": "F1",
    "roc_auc_macro": "AUC",
    "log_loss": "log-loss",
}

CONFIDENCE = {"ece": "expected calibration error", "brier": "Brier score", "log_loss": "log-loss"}
RATES = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}


def show(report: dict[str, Any], folder: Path) -> None:
    """Print how the split came about, its measures, those of the classes, the files, and what to do next.

    Args:
        report: what ``metrics.json`` holds.
        folder: where the files are.
    """
    console = Console()
    for line in provenance_lines(report):
        console.print(Text(printable(line)))
    console.print(_headline(report["metrics"]))
    console.print(_classes(report["per_class"]))
    for line in [*reason_lines(report["per_class"], OF_CLASS), *interval_lines(report["intervals"])]:
        console.print(Text(printable(line)))
    if "calibration" in report:
        show_calibration(console, report)
    if "folds" in report:
        console.print(_folds(report))
    for name in ("metrics.json", "predictions.csv", "confusion-matrix.png", "report.html"):
        console.print(Text(str(folder / name)), soft_wrap=True)
    console.print(Text(f"next: hemf predict {shlex.quote(report['run'])} IMAGES"), soft_wrap=True)


def provenance_lines(report: Mapping[str, Any]) -> list[str]:
    """Say the split, how it was made, and what makes its numbers too good, in sentences."""
    name, split, n = report["data"]["name"], report["split"], report["n"]
    these = counted(n, "image")
    lines = [f"{name}, split {split}: {these}; split method: {report['split_method'] or 'unknown'}"]
    groups, images = report["groups_on_two_sides"], report["images_of_those_groups"]
    if groups:
        share = f"{images} of these {these} ({images / n:.1%})"
        of = "" if report["data"]["own"] else " of its own split"
        lines.append(
            f"Warning: {share} show patients or lesions ({groups}) that are on another side{of} too."
        )
    elif groups == 0:
        of = "the" if report["data"]["own"] else "its own"
        lines.append(f"No patient or lesion is on two sides of {of} split.")
    elif split != "all":
        lines.append("Whether a patient or lesion is on two sides is unknown: the data names none.")
    lines += trained_on_lines(report)
    known = report.get("images_of_groups_trained_on")
    own = report["data"]["own"]  # and what the run learnt from is said already
    if known is None and not own:
        lines.append("Whether the run was trained on patients or lesions that these images show is unknown.")
    if known and not own:
        lines.append(
            f"Warning: {known} of these {these} show patients or lesions that the run was trained on."
        )
    if report["chose_checkpoint"]:
        lines.append(f"Warning: {split} chose the best checkpoint, so these numbers are too good.")
    if report.get("fitted_calibration"):
        lines.append(f"Warning: {split} fitted the calibration, so its numbers are too good.")
    if (apart := report.get("disagreement")) and apart["value"] is not None:
        lines.append(
            f"The members disagree by {apart['value']:.3f} on average of {counted(apart['n'], 'image')}: "
            "the total variation distance to their mean, 0 where they agree wholly, 1 where not at all."
        )
    tta = report.get("tta", "none")
    lines += filter(None, [views_line(tta), other_tta_line(tta, report.get("calibrated_under_tta"))])
    if report["absent_classes"]:
        absent = ", ".join(report["absent_classes"])
        lines.append(f"Absent from the split, and left out of the averages: {absent}.")
    return lines + one_class_lines(report)


def one_class_lines(report: Mapping[str, Any]) -> list[str]:
    """Say what a split of a single class can tell and what not; nothing for a split of several classes."""
    if len(report["averaged_over"]) > 1:
        return []
    (name,), others = report["averaged_over"], report["absent_classes"]
    measured = f"the sensitivity of {name} (which is the accuracy)"
    if others:
        measured += f", the specificity of {', '.join(others)}"
    return [
        f"All images are of one class, {name}. Measured are {measured}, calibration and, where the model has "
        "them, prediction sets and the rates at its thresholds.",
        "Not defined, as they compare images of several classes, are ROC AUC, average precision, MCC, "
        f"Cohen's kappa and the specificity of {name}; its precision is 1 whatever the model does.",
    ]


def trained_on_lines(report: Mapping[str, Any]) -> list[str]:
    """Say whether the run was trained on the images, what could not be checked, and what has changed."""
    these, seen = counted(report["n"], "image"), report.get("trained_on")
    lines = _own_training(report, these)
    for earlier in seen.get("learnt_from", ()) if seen else ():
        lines += _earlier_training(earlier, these)
    if changed := report.get("images_changed"):
        lines.append(
            f"Warning: {changed} of these {these} are no longer the files that the run was trained and "
            "split on; the numbers are those of what is there now."
        )
    return lines


def _own_training(report: Mapping[str, Any], these: str) -> list[str]:
    """Say what is known of the images that the run itself was trained on."""
    number, seen = report["images_trained_on"], report.get("trained_on")
    if not seen:
        if number is None:
            return [
                "Whether the model was trained on any of these images is unknown: its run is not at hand."
            ]
        return [f"Warning: the run was trained on {number} of these {these}."] if number else []
    lines, number = [], seen["same_files"] + seen["same_pictures"]
    if number:
        lines.append(f"Warning: the run was trained on {number} of these {these}.{_which(seen)}")
    lines += _unknown(seen, f"the run was trained on {'more' if number else 'any'} of these images")
    if not lines and seen["strangers"]:
        lines.append(
            f"None of these images was found among the {seen['images']} that the run was trained on "
            f"({seen['name']}), neither by content nor by picture."
        )
    return lines


def _earlier_training(seen: dict[str, Any], these: str) -> list[str]:
    """Say what is known of the images that something was trained on that the run learnt from."""
    what = f"what the run learnt from ({seen['how']}: {seen['name']})"
    if seen["images"] is None:
        return [
            f"Whether {what} was trained on any of these images is unknown: no list of its images is at hand."
        ]
    lines, number = [], seen["same_files"] + seen["same_pictures"]
    if number:
        lines.append(f"Warning: {what} was trained on {number} of these {these}.{_which(seen)}")
    lines += _unknown(seen, f"{what} was trained on {'more' if number else 'any'} of these images")
    groups = seen["images_of_its_groups"]
    if groups:
        lines.append(f"Warning: {groups} of these {these} show patients or lesions that {what} met.")
    if not lines:
        patients = ", and whether they show the same patients is unknown" if groups is None else ""
        lines.append(
            f"None of these images was found among the {seen['images']} that {what} was trained on{patients}."
        )
    return lines


def _unknown(seen: dict[str, Any], what: str) -> list[str]:
    return [f"Warning: whether {what} is unknown: {reason}." for reason in seen["unknown"]]


def _which(seen: dict[str, Any]) -> str:
    """Say how many are the same files and how many show the same picture, and name the first."""
    here, there = seen["examples"][0]
    return (
        f" {seen['same_files']} are the same files, {seen['same_pictures']} others show the same picture; "
        f"the first is {here}, which is {there} of {seen['name']}."
    )


def interval_lines(intervals: dict[str, Any]) -> list[str]:
    """Say how the 95% intervals came about, and which of them rest on little, in sentences."""
    wilson = "Wilson's formula for accuracy, sensitivity, precision, coverage and other shares"
    if not intervals["resamples"]:
        return [f"95% intervals: {wilson}, which takes images as independent; none for the others."]
    grouped = intervals["unit"] == "group"
    drawn = patients(intervals["groups"]) if grouped else "images"
    how = f"bootstrap, {intervals['resamples']} resamples of {drawn}, stratified by class"
    lines = [f"95% intervals: {how}." if grouped else f"95% intervals: {wilson}; for the others {how}."]
    if intervals["unit"] == "group" and intervals["groups"] < ROUGH:
        lines.append(
            f"Fewer than {ROUGH} patients or lesions: the intervals of ROC AUC, log-loss and Brier score are "
            "as a rule too narrow."
        )
    if few := intervals["few_units"]:
        names = ", ".join(f"{name} ({n})" for name, n in few.items())
        lines.append(
            f"Few {'patients or lesions' if grouped else 'images'}, so that intervals are rough: {names}."
        )
    return lines


def _headline(metrics: dict[str, Any]) -> Table:
    heads = {"measure": "measure", "value": "value", "interval": "95% interval", "n": "n"}
    rows = [
        {"measure": words, "value": value_text(metrics[name]), "n": metrics[name]["n"]}
        | {"interval": interval_text(metrics[name]) or _why_not(metrics[name])}
        for name, words in HEADLINE.items()
    ]
    return Table("", [Column(key, head) for key, head in heads.items()], rows)


def _why_not(measure: dict[str, Any]) -> str:
    return measure.get("reason") or measure.get("no_interval", "")


def _classes(per_class: dict[str, Any]) -> Table:
    columns = [Column("class", "class"), Column("n", "n")]
    columns += [Column(measure, head) for measure, head in OF_CLASS.items()]
    rows = [
        {"class": name, "n": of_class["n"]} | {measure: _compact(of_class[measure]) for measure in OF_CLASS}
        for name, of_class in per_class.items()
    ]
    return Table("", columns, rows)


def _compact(measure: dict[str, Any]) -> str | None:
    """Write value and interval in few characters: 0.899 [.86–.93]."""
    value, interval = value_text(measure), interval_text(measure, "–", ".2f")
    return f"{value} [{interval.replace('0.', '.')}]" if value and interval else value


def _folds(report: dict[str, Any]) -> Table:
    """Return the headline measures of each fold, and their mean and standard deviation."""
    columns = [Column("fold", "fold"), Column("n", "n")]
    columns += [Column(*item, ".3f") for item in OF_FOLD.items()]
    rows = [one | {"fold": str(one["fold"])} for one in report["folds"]]
    means = {name: spread_text(report["across_folds"][name]) for name in OF_FOLD}
    return Table("", columns, [*rows, {"fold": "mean ± std", "n": ""} | means], last_apart=True)


def spread_text(spread: Mapping[str, Any] | None) -> str | None:
    """Write the mean and standard deviation over folds; None where no fold has the measure."""
    if not spread or spread.get("mean") is None:
        return None
    deviation = spread.get("std")
    return f"{spread['mean']:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")


def show_calibration(console: Console, report: dict[str, Any]) -> None:
    """Print what ``confidence_report`` found; what the model does not have is not mentioned.

    Args:
        console: where to print.
        report: report with ``calibration``, and maybe ``conformal`` and ``operating_points``.
    """
    console.print(_confidence(report["calibration"]))
    if "conformal" in report:
        console.print(Text(_refusal(report["conformal"])))
    if "operating_points" in report:
        console.print(_operating_points(report["operating_points"]))
    for sentence in report["calibration"]["left_out"]:
        console.print(Text(printable(sentence)))


def _confidence(found: dict[str, Any]) -> Table:
    before, temperature = found["uncalibrated"], found["temperature"]
    ours = "value" if before is None else f"at temperature {temperature:.3f}"
    columns = [Column("confidence", "confidence")]
    columns += [] if before is None else [Column("before", "as trained")]
    columns += [Column("value", ours), Column("n", "n")]
    rows = [
        {"confidence": words, "value": measure_text(found[name]), "n": found[name]["n"]}
        | ({} if before is None else {"before": measure_text(before[name])})
        for name, words in CONFIDENCE.items()
    ]
    return Table("", columns, rows)


def _refusal(found: dict[str, Any]) -> str:
    answered, each = found["accuracy_answered"], " of each class" if found["conditional"] == "class" else ""
    by_class = [
        f"{printable(name)} {value_text(of_class['coverage'])}"
        for name, of_class in found["per_class"].items()
        if of_class["coverage"]["value"] is not None
    ]
    return (
        f"Prediction sets for a coverage of {found['target']:g}{each} hold the true class in "
        f"{measure_text(found['coverage'])} of {counted(found['coverage']['n'], 'image')}, and "
        f"{measure_text(found['mean_size'])} classes on average. The model abstains in "
        f"{measure_text(found['abstained'])}; where it answers, its accuracy is {measure_text(answered)} "
        f"(n = {answered['n']}). By true class: {', '.join(by_class)}."
    )


def _operating_points(points: list[dict[str, Any]]) -> Table:
    """Return a row for each threshold."""
    columns = [Column("class", "class"), Column("n", "n"), Column("threshold", "from", ".3g")]
    columns += [Column("aim", "aim"), *(Column(*rate) for rate in RATES.items())]
    rows = [
        {"class": point["class"], "n": point["sensitivity"]["n"], "threshold": point["threshold"]}
        | {"aim": f"{point['target'][:4]}. {point['at']:g}"}
        | {rate: cell_text(point[rate], "–") or f"– ({point[rate]['reason']})" for rate in RATES}
        for point in points
    ]
    return Table("A class is called from this probability on:", columns, rows)
