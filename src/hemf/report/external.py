"""What is said of images of another place, from the entry ``external`` of ``metrics.json``."""

from collections.abc import Iterator, Mapping
from typing import Any

from hemf.core.tables import Column, Table
from hemf.core.text import counted
from hemf.evaluation.external.class_map import mapping_lines
from hemf.metrics.wording import cell_text, measure_text
from hemf.report.terminal import HEADLINE

Report = Mapping[str, Any]


def external_lines(report: Report) -> list[str]:
    """Say in sentences that the data are external, and what the two places do not share."""
    found = report.get("external")
    return [] if not found else [banner(report), *_lines(report, found)]


def banner(report: Report) -> str:
    """Say in a sentence where the images are from and where the model is."""
    found, name = report["external"], report["data"]["name"]
    where = f"developed on {found['developed_on']}" if found["developed_on"] else "whose run is not at hand"
    return f"External data: {name}, shown to a model {where}."


def _lines(report: Report, found: Report) -> Iterator[str]:
    if found["class_map"]:
        yield from mapping_lines(found["class_map"])
    if found["lacking"]:
        yield (
            f"Of {', '.join(found['lacking'])} there are no images here; the model takes "
            f"{measure_text(found['taken_for_lacking'])} of the images for one of these, wrongly. Where only "
            "the classes that are here may be chosen, accuracy is "
            f"{measure_text(found['among_shared']['accuracy'])} and balanced accuracy "
            f"{measure_text(found['among_shared']['balanced_accuracy'])}."
        )
    for one in found["thresholds"]:
        if one["kept"] is False:
            yield (
                f"Warning: the threshold for a {one['target']} of {one['at']:g} for {one['label']} reaches "
                f"{measure_text(one['reached'])} here."
            )
    yield from found["left_out"]


def external_tables(report: Report) -> list[Table]:
    """Tabulate prevalence, re-weighted measures, recalibration, and thresholds that were carried over."""
    found = report.get("external")
    if not found:
        return []
    tables = []
    if found["prevalence"]:
        tables += [_prevalence(found["prevalence"]), _reweighted(report, found["prevalence"])]
    if found["recalibration"]:
        tables += [_recalibration(found["recalibration"]), *_few(found["recalibration"])]
    return [*tables, *_thresholds(found)]


def _prevalence(found: Report) -> Table:
    rows = [
        {"class": name, "there": share, "here": found["here"][name]}
        for name, share in found["development"].items()
    ]
    columns = [
        Column("class", "class"),
        Column("there", "in development", ".3f"),
        Column("here", "here", ".3f"),
    ]
    return Table("Shares of the classes", columns, rows)


def _reweighted(report: Report, found: Report) -> Table:
    """Tabulate what goes with the shares of the classes, as measured and with those of development."""
    rows = [
        {"measure": HEADLINE[name], "here": cell_text(report["metrics"].get(name)), "there": cell_text(one)}
        for name, one in found["measures"].items()
    ]
    measured = report.get("operating_points") or ()
    for point, one in zip(measured, found["operating_points"], strict=True):
        which = f"{one['class']}, {one['target']} {one['at']:g}"
        rows += [
            {
                "measure": f"{rate.upper()} ({which})",
                "here": cell_text(point[rate]),
                "there": cell_text(one[rate]),
            }
            for rate in ("ppv", "npv")
        ]
    columns = [Column("measure", "measure"), Column("here", "as measured")]
    columns += [Column("there", "with the shares of development")]
    notes = [
        f"Re-weighted, the images are worth {found['effective_n']:.0f} of equal weight. Sensitivities, "
        "specificities of two classes and AUCs of two classes do not go with the shares."
    ]
    return Table("As measured, and re-weighted", columns, rows, notes)


def _recalibration(found: Report) -> Table:
    as_is = {"method": "as it came", "log_loss": found["log_loss"], "ece": found["ece"]}
    rows = [as_is]
    rows += [
        {"method": one["method"], "slope": one["slope"], "gain": cell_text(one["gain"])}
        | {"log_loss": one["log_loss"], "ece": one["ece"], "intercepts": _intercepts(one["intercepts"])}
        for one in found["ways"]
    ]
    columns = [Column("method", "recalibrated by"), Column("log_loss", "log-loss", ".3f")]
    columns += [Column("ece", "calibration error", ".3f"), Column("gain", "gain in log-loss")]
    columns += [Column("slope", "slope", ".2f"), Column("intercepts", "intercepts")]
    notes = [
        f"Cross-fitted in {counted(found['folds'], 'fold')}: each image by parameters fitted without its "
        "patient or lesion. Slope and intercepts are those of all images. A gain above 0 is a better model."
    ]
    return Table("Recalibration on labelled cases of this place", columns, rows, notes)


def _intercepts(found: Mapping[str, float]) -> str | None:
    known = [f"{name} {value:+.2f}" for name, value in found.items() if value]
    return ", ".join(known) or None


def _few(found: Report) -> list[Table]:
    """Tabulate what few labelled cases gain, which may be less than nothing."""
    sizes = [one["units"] for one in found["ways"][0]["few"]]
    rows = [
        {"units": size}
        | {
            one["method"]: "{gain:+.3f} ({low:+.3f} to {high:+.3f})".format(**one["few"][i])
            for one in found["ways"]
        }
        for i, size in enumerate(sizes)
    ]
    columns = [Column("units", "labelled patients or images")]
    columns += [Column(one["method"], one["method"]) for one in found["ways"]]
    notes = ["Mean over 20 draws, measured on all others, and the 10% and 90% quantiles."]
    return [Table("Gain in log-loss by number of labelled cases", columns, rows, notes)] if rows else []


def _thresholds(found: Report) -> list[Table]:
    """Tabulate what thresholds do here, and what they would do moved."""
    rows = [
        {"class": one["label"], "asked": f"{one['target']} {one['at']:g}", "threshold": one["threshold"]}
        | {"reached": cell_text(one["reached"]), "needed": one["needed"]}
        | {f"odds {moved['odds']:g}": _rates(moved) for moved in one["moved"]}
        for one in found["thresholds"]
    ]
    if not rows:
        return []
    factors = [moved["odds"] for moved in found["thresholds"][0]["moved"] if moved["odds"] != 1]
    columns = [
        Column("class", "class"),
        Column("asked", "asked for"),
        Column("threshold", "threshold", ".3g"),
    ]
    columns += [Column("reached", "reached here"), Column("needed", "needed here", ".3g")]
    columns += [Column(f"odds {odds:g}", f"{odds:g} x odds") for odds in factors]
    notes = ["Moved thresholds: sensitivity / specificity. What is needed was chosen on these very images."]
    return [Table("Thresholds carried over", columns, rows, notes)]


def _rates(moved: Report) -> str:
    both = (moved["sensitivity"], moved["specificity"])
    return " / ".join("–" if rate is None else f"{rate:.2f}" for rate in both)
