"""How often an image is of a class to which the model gives this probability, and the class's thresholds."""

from collections.abc import Mapping

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import binomtest

from hemf.figures.classification import COLOURS, GREY, STYLE

MOST_BINS = 10
LEAST_IMAGES = 20  # of a bin


def class_reliability_figure(
    of_class: np.ndarray, probabilities: np.ndarray, thresholds: Mapping[str, float]
) -> Figure:
    """Draw the share of a class against its probability, in bins of about as many images each.

    The bars are Wilson's 95% intervals, which take images as independent.

    Args:
        of_class: N booleans, whether the image is of the class.
        probabilities: N probabilities of the class.
        thresholds: probabilities from which on the class is called, by what is said of them.
    """
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(4.2, 2.9))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=1, linestyle=":", label="as promised")
        order = np.argsort(probabilities, kind="stable")
        bins = np.array_split(order, max(1, min(MOST_BINS, len(order) // LEAST_IMAGES)))
        x = [float(probabilities[one].mean()) for one in bins if len(one)]
        found = [(int(of_class[one].sum()), len(one)) for one in bins if len(one)]
        y = [right / n for right, n in found]
        ends = [binomtest(right, n).proportion_ci(0.95, "wilson") for right, n in found]
        spread = [
            [max(0.0, value - one.low) for value, one in zip(y, ends, strict=True)],
            [max(0.0, one.high - value) for value, one in zip(y, ends, strict=True)],
        ]
        look = {"color": COLOURS[0], "marker": "o", "markersize": 5, "elinewidth": 0.9, "linewidth": 1.4}
        axes.errorbar(x, y, yerr=spread, clip_on=False, label="measured", **look)
        for k, (words, threshold) in enumerate(thresholds.items()):
            colour = (COLOURS[1], GREY)[k % 2]
            axes.axvline(threshold, color=colour, linestyle="--", linewidth=1.4, label=words)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_xlabel("probability of the class")
        axes.set_ylabel("share that is of it")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#EEEEEE")
        axes.set_axisbelow(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, fontsize=8.5)
    return figure
