"""How accuracy falls as images get worse: a small curve for each corruption, all on one scale."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hemf.figures.classification import COLOURS, GREY, STYLE

ACROSS, SIDE = 4, 2.0  # curves beside each other; inches of one


def robustness_figure(report: Mapping[str, Any], names: Sequence[str]) -> Figure:
    """Draw accuracy over the steps of each corruption with its 95% interval; a line is that of clean images.

    Squares below the axis show the share that the model's out-of-distribution score warns of.

    Args:
        report: what ``stress.json`` holds.
        names: corruptions in the order in which they are drawn.
    """
    down = math.ceil(len(names) / ACROSS)
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(ACROSS * SIDE, down * (SIDE + 0.3)), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(down, ACROSS, sharex=True, sharey=True, squeeze=False)
        for axes, name in zip(grid.flat, names, strict=False):
            _curve(axes, name, report["corruptions"][name]["steps"], report["clean"])
        for axes in list(grid.flat)[len(names) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("share")
    return figure


def _curve(axes: Axes, name: str, steps: Sequence[Mapping[str, Any]], clean: Mapping[str, Any]) -> None:
    found = [clean, *(one["accuracy"] for one in steps)]
    x = range(len(found))
    low, high = zip(*(one["ci95"] for one in found), strict=True)
    axes.axhline(clean["value"], color=GREY, linewidth=0.8, linestyle=":")
    axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
    axes.plot(x, [one["value"] for one in found], color=COLOURS[0], marker="o", markersize=3)
    warned = [one["warned"]["value"] for one in steps if one["warned"]]
    if warned:
        axes.plot(list(x)[1:], warned, color=GREY, marker="s", markersize=2.5, linestyle="--", linewidth=0.8)
    axes.set(ylim=(0, 1.03), xticks=list(x))
    axes.spines[["top", "right"]].set_visible(False)
    axes.text(0.04, 0.05, name, transform=axes.transAxes, fontsize=9, parse_math=False)
