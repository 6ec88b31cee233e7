"""Calibration, refusal and operating points in words and tables, for people."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hemf.evaluation.words import measure_text
from hemf.text import printable

CONFIDENCE = {"ece": "expected calibration error", "brier": "Brier score", "log_loss": "log-loss"}
RATES = ("sensitivity", "specificity", "ppv", "npv")


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
    table = Table("confidence", *(["as trained"] if before else []), ours, "n", box=box.SIMPLE_HEAD)
    for name, words in CONFIDENCE.items():
        values = [measure_text(one[name]) for one in ([before] if before else []) + [found]]
        table.add_row(words, *values, str(found[name]["n"]))
    return table


def _refusal(found: dict[str, Any]) -> str:
    answered = found["accuracy_answered"]
    return (
        f"Prediction sets for a coverage of {found['target']:g} hold the true class in "
        f"{measure_text(found['coverage'])} of {found['coverage']['n']} images, and "
        f"{measure_text(found['mean_size'])} classes on average. The model abstains in "
        f"{measure_text(found['abstained'])}; where it answers, its accuracy is {measure_text(answered)} "
        f"(n = {answered['n']})."
    )


def _operating_points(points: list[dict[str, Any]]) -> Table:
    """A row for each threshold, with the interval below each rate."""
    head = ("class", "from", "aim", "sensitivity", "specificity", "PPV", "NPV")
    title = {"title": "A class is called from this probability on:", "title_justify": "left"}
    table = Table(*head, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), **title)
    for point in points:
        name = Text(f"{printable(point['class'])}\nn = {point['sensitivity']['n']}")
        target = f"{point['target'][:4]}.\n{point['at']:g}"
        rates = [_over_interval(point[rate]) for rate in RATES]
        table.add_row(name, f"{point['threshold']:.3g}", target, *rates)
    return table


def _over_interval(measure: dict[str, Any]) -> str:
    if measure["value"] is None:
        return f"–\n{measure['reason']}"
    return f"{measure['value']:.3f}\n{'–'.join(f'{bound:.3f}' for bound in measure.get('ci95', ()))}"
