"""The reliability diagram: how often a model is right when it is this sure, and in how many images it is."""

from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import binomtest

from hemf.figures.classification import COLOURS, GREY, STYLE

SIDE, BELOW, GAP = 4.6, 1.1, 0.75  # inches: the diagram, the counts under it, and the space for labels


def reliability_figure(calibration: dict[str, Any], title: str = "") -> Figure:
    """Draw accuracy against confidence in each bin, before and after calibration, over numbers of images.

    The bars are Wilson's 95% intervals; on the dotted line a model is as often right as it says.

    Args:
        calibration: the entry of ``metrics.json``, with ``bins``, ``ece``, ``uncalibrated`` and, of folds,
            ``fold_temperatures``.
        title: what it is of, in one line.
    """
    before = calibration["uncalibrated"]
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(SIDE, SIDE + BELOW + GAP))
        FigureCanvasAgg(figure)
        height = SIDE + BELOW + GAP
        upper = figure.add_axes((0, (BELOW + GAP) / height, 1, SIDE / height))
        lower = figure.add_axes((0, 0, 1, BELOW / height))
        upper.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=1, linestyle=":")
        if before is not None:
            _points(upper, before, "as trained", GREY, "s", "--")
        of_folds = calibration.get("fold_temperatures") or []
        mended = before is not None or any(one is not None for one in of_folds)
        _points(upper, calibration, "calibrated" if mended else "the model", COLOURS[0], "o", "-")
        upper.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        upper.set_xlabel("confidence (probability of the predicted class)")
        upper.set_ylabel("accuracy")
        upper.legend(loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False, fontsize=8.5)
        _counts(lower, calibration["bins"])
        for axes in (upper, lower):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#EEEEEE")
            axes.set_axisbelow(True)
        upper.set_title(" ".join(title.split()), fontsize=10, loc="left", pad=44, parse_math=False)
    return figure


def _points(axes: Axes, of: dict[str, Any], name: str, colour: str, marker: str, line: str) -> None:
    bins = [one for one in of["bins"] if one["n"]]
    x, y = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
    intervals = [
        binomtest(round(one["accuracy"] * one["n"]), one["n"]).proportion_ci(0.95, "wilson") for one in bins
    ]
    spread = [
        [max(0, value - found.low) for value, found in zip(y, intervals, strict=True)],
        [max(0, found.high - value) for value, found in zip(y, intervals, strict=True)],
    ]
    label = f"{name}: calibration error {of['ece']['value']:.3f}"
    look = {"color": colour, "marker": marker, "linestyle": line, "markersize": 5, "elinewidth": 0.8}
    axes.errorbar(x, y, yerr=spread, label=label, linewidth=1.4, clip_on=False, **look)


def _counts(axes: Axes, bins: list[dict[str, Any]]) -> None:
    middles = [(one["low"] + one["high"]) / 2 for one in bins]
    most = max(one["n"] for one in bins)
    axes.bar(middles, [one["n"] for one in bins], width=0.9 / len(bins), color=COLOURS[0], linewidth=0)
    for middle, one in zip(middles, bins, strict=True):
        if one["n"]:
            axes.text(middle, one["n"] + 0.03 * most, str(one["n"]), ha="center", va="bottom", fontsize=7)
    axes.set(xlim=(0, 1), ylim=(0, 1.2 * most))
    axes.set_ylabel("images")
