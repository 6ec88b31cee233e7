"""Calibration, refusal and operating points in words and tables, for people."""

from typing import Any

from rich.console import Console
from rich.text import Text

from hemf.core.tables import Column, Table
from hemf.core.text import counted, printable
from hemf.metrics.wording import cell_text, measure_text

CONFIDENCE = {"ece": "expected calibration error", "brier": "Brier score", "log_loss": "log-loss"}
RATES = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}


def show_calibration(console: Console, report: dict[str, Any]) -> None:
    """Print what ``confidence_report`` found; what the model does not have is not mentioned.

    Args:
        console: where to print.
        report: with ``calibration``, and maybe ``conformal`` and ``operating_points``.
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
    answered = found["accuracy_answered"]
    return (
        f"Prediction sets for a coverage of {found['target']:g} hold the true class in "
        f"{measure_text(found['coverage'])} of {counted(found['coverage']['n'], 'image')}, and "
        f"{measure_text(found['mean_size'])} classes on average. The model abstains in "
        f"{measure_text(found['abstained'])}; where it answers, its accuracy is {measure_text(answered)} "
        f"(n = {answered['n']})."
    )


def _operating_points(points: list[dict[str, Any]]) -> Table:
    """A row for each threshold."""
    columns = [Column("class", "class"), Column("n", "n"), Column("threshold", "from", ".3g")]
    columns += [Column("aim", "aim"), *(Column(*rate) for rate in RATES.items())]
    rows = [
        {"class": point["class"], "n": point["sensitivity"]["n"], "threshold": point["threshold"]}
        | {"aim": f"{point['target'][:4]}. {point['at']:g}"}
        | {rate: cell_text(point[rate], "–") or f"– ({point[rate]['reason']})" for rate in RATES}
        for point in points
    ]
    return Table("A class is called from this probability on:", columns, rows)
