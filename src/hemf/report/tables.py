"""The tables of an evaluation, from the keys of its report; one for which there are no keys is left out.

A measure is a dictionary with ``value``, ``n`` and sometimes ``ci95`` or ``reason``, as in ``metrics.json``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hemf.core.tables import Column, Table
from hemf.metrics.wording import cell_text, hundred_cell, reason_lines
from hemf.pages.elements import Estimate
from hemf.report.terminal import CONFIDENCE, HEADLINE, OF_CLASS, spread_text

Report = Mapping[str, Any]
OF_CONFORMAL = {
    "coverage": "coverage",
    "mean_size": "mean size of the sets",
    "abstained": "abstained",
    "accuracy_answered": "accuracy where it answers",
}
OF_POINT = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}
SHOWN = (0.05, 0.1, 0.2, 0.3, 0.5)  # thresholds of the decision curves that the page has; all are in the JSON
OF_POINT |= {"lr_positive": "LR+", "lr_negative": "LR−"}


def measures_table(report: Report) -> Table:
    """Tabulate every measure of the whole split."""
    shown = {name: report["metrics"][name] for name in HEADLINE if name in report["metrics"]}
    return _measures("Measures of the whole split", shown, HEADLINE)


def classes_table(report: Report) -> Table:
    """Tabulate every measure of every class, one against the rest."""
    columns = [Column("class", "class"), Column("n", "n", ",")]
    columns += [Column(name, words) for name, words in OF_CLASS.items()]
    rows = [
        {"class": name, "n": of_class["n"]} | {key: cell_text(of_class.get(key)) for key in OF_CLASS}
        for name, of_class in report["per_class"].items()
    ]
    notes = reason_lines(report["per_class"], OF_CLASS)
    return Table("Measures of each class against the rest", columns, rows, notes)


def confusion_table(report: Report) -> Table:
    """Tabulate the counts of the confusion matrix."""
    classes, counts = report["classes"], report["confusion_matrix"]
    columns = [Column("true", "true \\ predicted")]
    columns += [Column(str(k), name) for k, name in enumerate(classes)]
    rows = [
        {"true": name} | {str(k): count for k, count in enumerate(row)} | {"all": sum(row)}
        for name, row in zip(classes, counts, strict=True)
    ]
    return Table(
        "Confusion matrix: images of each true class by prediction", [*columns, Column("all", "all")], rows
    )


def calibration_tables(report: Report) -> list[Table]:
    """Tabulate how far the probabilities can be taken at their word, before and after calibration."""
    if not (found := report.get("calibration")):
        return []
    before = found.get("uncalibrated") or {}
    columns = [Column("measure", "measure"), Column("value", "calibrated" if before else "value")]
    columns += [Column("before", "uncalibrated")]
    columns += [Column("reason", "why not", missing="")]
    rows = [
        {
            "measure": words,
            "value": cell_text(found[name]),
            "before": cell_text(before.get(name)),
            "reason": found[name].get("no_interval"),
        }
        for name, words in CONFIDENCE.items()
        if found.get(name)
    ]
    return [Table("Calibration (0 is best)", filled(columns, rows), rows)]


def slopes_tables(report: Report) -> list[Table]:
    """Tabulate how far each class's probabilities are too extreme, and too high or too low."""
    found = (report.get("calibration") or {}).get("per_class") or {}
    rows = [
        {"class": name} | {key: cell_text(one.get(key)) for key in ("slope", "intercept")}
        for name, one in found.items()
    ]
    columns = [Column("class", "class"), Column("slope", "calibration slope")]
    columns += [Column("intercept", "calibration intercept")]
    return [Table("Slope (1 is best) and intercept (0 is best) of each class", columns, rows)] if rows else []


def benefit_tables(report: Report) -> list[Table]:
    """Tabulate each class's net benefit, with that of acting on every image, by threshold."""
    curves = report.get("decision_curves") or {}
    rows = [
        {"class": name, "threshold": f"{point['threshold']:.0%}"}
        | {"benefit": cell_text(point["net_benefit"]), "all": point["treat_all"]}
        for name, points in curves.items()
        for point in points
        if point["threshold"] in SHOWN
    ]
    heads = {"class": "class", "threshold": "acting from", "benefit": "net benefit", "all": "acting on all"}
    columns = [Column(key, head, ".3f" if key == "all" else "") for key, head in heads.items()]
    return (
        [Table("Net benefit of acting on a class, per image; acting on none has 0", columns, rows)]
        if rows
        else []
    )


def bins_table(report: Report) -> list[Table]:
    """Tabulate what the reliability diagram shows."""
    if not (bins := (report.get("calibration") or {}).get("bins")):
        return []
    columns = [
        Column("low", "from", ".2f"),
        Column("high", "to", ".2f"),
        Column("n", "n"),
        Column("confidence", "mean confidence", ".3f"),
        Column("accuracy", "accuracy", ".3f"),
    ]
    return [Table("Reliability: confidence and accuracy in bins of confidence", columns, bins)]


def conformal_tables(report: Report) -> list[Table]:
    """Tabulate whether prediction sets hold their promise, on all images and on those of each class."""
    if not (found := report.get("conformal")):
        return []
    measures = {name: found[name] for name in OF_CONFORMAL if found.get(name)}
    tables = [_measures("Coverage and size of the sets", measures, OF_CONFORMAL)]
    rows = [
        {"class": name} | {key: cell_text(of_class.get(key)) for key in OF_CONFORMAL}
        for name, of_class in (found.get("per_class") or {}).items()
    ]
    columns = [Column("class", "class"), *(Column(name, words) for name, words in OF_CONFORMAL.items())]
    return (
        [*tables, Table("Coverage and size of the sets by true class", filled(columns, rows), rows)]
        if rows
        else tables
    )


def points_tables(report: Report) -> list[Table]:
    """Tabulate what the thresholds chosen on validation images do on these."""
    rows = [
        {
            "class": point["class"],
            "target": f"{point['target']} {point['at']:.2f}",
            "threshold": point.get("threshold"),
        }
        | {name: cell_text(point.get(name)) for name in OF_POINT}
        for point in report.get("operating_points") or ()
    ]
    columns = [Column("class", "class"), Column("target", "target"), Column("threshold", "threshold", ".4f")]
    columns += [Column(name, words) for name, words in OF_POINT.items()]
    return [Table("Operating points", filled(columns, rows), rows)] if rows else []


def hundred_tables(report: Report) -> list[Table]:
    """Tabulate what the thresholds do to a hundred with the disease and a hundred without it."""
    rows = [
        {
            "class": point["class"],
            "threshold": point.get("threshold"),
            "found": hundred_cell(point.get("sensitivity")),
            "alarms": hundred_cell(point.get("specificity"), others=True),
            "right": hundred_cell(point.get("ppv")),
        }
        for point in report.get("operating_points") or ()
    ]
    columns = [
        Column("class", "class"),
        Column("threshold", "threshold", ".4f"),
        Column("found", "of 100 with it, found"),
        Column("alarms", "of 100 without it, called it wrongly"),
        Column("right", "of 100 called it here, rightly"),
    ]
    return [Table("Operating points: of a hundred", filled(columns, rows), rows)] if rows else []


def folds_tables(report: Report) -> list[Table]:
    """Tabulate the measures of each fold of a cross-validation, and how they spread."""
    folds, spread = report.get("folds") or (), report.get("across_folds") or {}
    names = [name for name in HEADLINE if any(name in fold for fold in folds)]
    columns = [Column("fold", "fold"), Column("n", "n")]
    columns += [Column(name, HEADLINE[name], ".3f") for name in names]
    rows = [{"fold": str(fold["fold"])} | {key: fold.get(key) for key in ("n", *names)} for fold in folds]
    if rows and spread:
        rows.append({"fold": "mean ± sd"} | {name: spread_text(spread.get(name)) for name in names})
    return [Table("Measures of each fold", columns, rows)] if rows else []


def filled(columns: Iterable[Column], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns in which some row has a value."""
    return [column for column in columns if any(row.get(column.key) is not None for row in rows)]


def _measures(title: str, measures: Report, words: Mapping[str, str]) -> Table:
    columns = [Column("measure", "measure"), Column("value", "value and 95% interval")]
    rows = [
        {
            "measure": words[name],
            "value": cell_text(one),
            "n": one.get("n"),
            "reason": one.get("reason") or one.get("no_interval"),
        }
        for name, one in measures.items()
    ]
    columns += [Column("n", "n", ","), Column("reason", "why not", missing="")]
    return Table(title, filled(columns, rows), rows)


def estimate_of(measure: Mapping[str, Any] | None, asked: float | None = None) -> Estimate | None:
    """Return a measure as what is drawn of it; None where it is undefined."""
    if not measure or measure.get("value") is None:
        return None
    low, high = measure.get("ci95") or (None, None)
    return Estimate(measure["value"], low, high, asked)
