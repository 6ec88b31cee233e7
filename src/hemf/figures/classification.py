"""Pictures of an evaluation, as SVG with real text and as PNG: confusion matrix, ROC, precision over recall.

The same numbers give the same SVG, byte for byte. Class names are data of the user and never read as markup.
Letters that none of ``FONTS`` has are empty boxes in the PNG; the SVG holds them as text for its viewer.
"""

import textwrap
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from hemf.core.files import whole_file
from hemf.metrics.classification import ranking_scores

# The first comes with matplotlib; the others have Chinese, Japanese and Korean letters, where installed.
FONTS = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei"),
    *("Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans"),
)
INSTALLED = [name for name in FONTS if name in fontManager.get_font_names()]

# The user's own matplotlibrc must not change a result's picture, so every style starts from the default.
STYLE = ["default", {"svg.fonttype": "none", "svg.hashsalt": "hemf", "font.family": INSTALLED}]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito 2008
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
GREY = "#666666"
TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # Unicode's classes of direction
BREAKS = ("Cc", "Zl", "Zp")  # and its categories of control characters and line breaks
MOST_WRITTEN_CLASSES = 40  # with more, the cells of a confusion matrix are too small for numbers


def confusion_figure(confusion: np.ndarray, classes: Sequence[str], title: str = "") -> Figure:
    """Draw a confusion matrix: in each cell the count, and its share of the row's (true) class as shade.

    Args:
        confusion: K x K counts, rows true, columns predicted.
        classes: names of the K classes.
        title: what the counts are of, in one line.
    """
    confusion = np.asarray(confusion)
    k, totals = len(classes), confusion.sum(1)
    cell = float(np.clip(9 / k, 0.56, 1.2)) if k <= MOST_WRITTEN_CLASSES else 22 / k
    rates = confusion / np.maximum(totals, 1)[:, None]
    with matplotlib.style.context(STYLE):
        figure, axes = _square(cell * k)
        image = axes.imshow(rates, cmap="Blues", vmin=0, vmax=1)
        names = [short_name(name) for name in classes]
        size = 9 if k <= MOST_WRITTEN_CLASSES else float(np.clip(60 * cell, 2, 9))
        rows = [f"{name}\nn = {n}" + ("" if n else ", absent") for name, n in zip(names, totals, strict=True)]
        axes.set_yticks(range(k), rows, fontsize=size, parse_math=False)
        steep = max(map(len, "\n".join(names).split("\n"))) * size * 0.6 > 68 * cell
        slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if steep else {}
        axes.set_xticks(range(k), names, fontsize=size, parse_math=False, **slant)
        axes.set_xticks(np.arange(k + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(k + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#DDDDDD", linewidth=0.6)
        axes.tick_params(which="both", length=0)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        if k <= MOST_WRITTEN_CLASSES:
            _write_cells(axes, confusion, rates, totals, cell)
        scale = figure.colorbar(image, cax=axes.inset_axes((1 + 0.2 / (cell * k), 0, 0.14 / (cell * k), 1)))
        scale.set_label("share of the true class")
        scale.outline.set_visible(False)
        _title(axes, title)
    return figure


def roc_figure(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], title: str = ""
) -> Figure:
    """Draw the ROC curve of each class against the rest, with its area; classes without one are named below.

    Args:
        labels: N class indices.
        probabilities: N x K.
        classes: names of the K classes.
        title: what the curves are of, in one line.
    """
    labels, scores = np.asarray(labels), ranking_scores(np.asarray(probabilities, dtype=np.float64))
    with matplotlib.style.context(STYLE):
        figure, axes = _square(4.6)
        axes.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=1, linestyle=":")
        for k, name, of_class, look in _curves(axes, labels, classes):
            false_rate, true_rate, _ = roc_curve(of_class, scores[:, k])
            # the area comes first, as matplotlib leaves out labels that begin with an underscore
            words = f"{roc_auc_score(of_class, scores[:, k]):.3f}  {name} (n = {of_class.sum()})"
            axes.plot(false_rate, true_rate, linewidth=1.8, label=words, clip_on=False, **look)
        axes.set_xlabel("1 - specificity (false positive rate)")
        axes.set_ylabel("sensitivity (true positive rate)")
        _legend(axes, "area under the curve")
        _title(axes, title)
    return figure


def precision_recall_figure(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], title: str = ""
) -> Figure:
    """Draw precision over recall of each class against the rest, with average precision and share.

    The share of a class among the images is the precision, at any recall, of guessing. The steps are those
    whose area is the average precision; nothing is interpolated.

    Args:
        labels: N class indices.
        probabilities: N x K.
        classes: names of the K classes.
        title: what the curves are of, in one line.
    """
    labels, scores = np.asarray(labels), ranking_scores(np.asarray(probabilities, dtype=np.float64))
    with matplotlib.style.context(STYLE):
        figure, axes = _square(4.6)
        for k, name, of_class, look in _curves(axes, labels, classes):
            precision, recall, _ = precision_recall_curve(of_class, scores[:, k])
            area, share = average_precision_score(of_class, scores[:, k]), of_class.mean()
            words = f"{area:.3f}  {name} (n = {of_class.sum()}, share {share:.3f})"
            axes.plot([0, 1], [share, share], linewidth=0.8, alpha=0.5, **look)
            step = {"drawstyle": "steps-post", "linewidth": 1.8, "clip_on": False}
            axes.plot(recall[::-1], precision[::-1], label=words, **step, **look)
        axes.set_xlabel("recall (sensitivity)")
        axes.set_ylabel("precision (positive predictive value)")
        _legend(axes, "average precision")
        _title(axes, title)
    return figure


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write ``figure`` as SVG and as PNG under ``path`` plus a suffix, each whole; returns both paths."""
    files = [path.with_name(path.name + suffix) for suffix in (".svg", ".png")]
    with matplotlib.style.context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        for file in files:
            with whole_file(file) as temporary:
                date: dict[str, Any] = {"metadata": {"Date": None}} if file.suffix == ".svg" else {}
                figure.savefig(temporary, dpi=160, bbox_inches="tight", pad_inches=0.15, **date)
    return files


def short_name(name: str, width: int = 24) -> str:
    """Break a name into lines of ``width`` characters, mostly two, and leave its middle out if too long."""
    name = _one_line(name) or "(no name)"
    if len(name) > 2 * width - 4:
        name = f"{name[: width + 4].rstrip()}…{name[12 - width :].lstrip()}"
    return "\n".join(textwrap.wrap(name, width))


def _one_line(text: str) -> str:
    """Return text without what breaks the line, or turns the direction in which all after it is read."""
    text = text.encode("utf-8", "replace").decode()
    return " ".join("".join(" " if _steers(c) else c for c in text).split())


def _steers(character: str) -> bool:
    return unicodedata.bidirectional(character) in TURNS or unicodedata.category(character) in BREAKS


def _square(side: float) -> tuple[Figure, Axes]:
    """Make a figure whose axes measure ``side`` inches; what lies outside is saved too ("tight")."""
    figure = Figure(figsize=(side, side))
    FigureCanvasAgg(figure)
    return figure, figure.add_axes((0, 0, 1, 1))


def _title(axes: Axes, title: str) -> None:
    axes.set_title(_one_line(title), fontsize=10, loc="left", pad=12, parse_math=False)


def _curves(
    axes: Axes, labels: np.ndarray, classes: Sequence[str]
) -> Iterator[tuple[int, str, np.ndarray, dict[str, Any]]]:
    """Yield index, name, N truths and look of each class with a curve; the others are named below."""
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    missing = []
    for k, name in enumerate(classes):
        of_class, name = labels == k, " ".join(short_name(name).split())
        if of_class.all() or not of_class.any():
            missing.append(f"{name} ({'every image' if of_class.all() else 'no image'})")
            continue
        look = {"color": COLOURS[k % len(COLOURS)], "linestyle": DASHES[k % len(DASHES)]}
        yield k, name, of_class, look
    _missing(axes, missing)


def _write_cells(
    axes: Axes, confusion: np.ndarray, rates: np.ndarray, totals: np.ndarray, cell: float
) -> None:
    """Write counts and, if the row has images, rates: white on dark cells, grey if never predicted."""
    size = float(np.clip(13 * cell, 7, 12))
    for (i, j), count in np.ndenumerate(confusion):
        colour = "white" if rates[i, j] > 0.55 else "black" if count else "#999999"
        at = {"ha": "center", "color": colour, "parse_math": False}
        axes.text(j, i - 0.04, str(count), va="bottom", fontsize=size, **at)
        rate = f"{100 * rates[i, j]:.1f}%" if totals[i] else "–"
        axes.text(j, i + 0.06, rate, va="top", fontsize=0.75 * size, **at)


def _legend(axes: Axes, title: str) -> None:
    curves = len(axes.get_legend_handles_labels()[1])
    if not curves:
        axes.text(0.5, 0.6, "no curve: all images are of one class", ha="center", color=GREY)
        return
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.03, 1.02),
        ncols=-(-curves // 30),
        fontsize=8.5,
        title=title,
        alignment="left",
        frameon=False,
        handlelength=3,
    )
    legend.get_title().set_fontsize(8.5)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _missing(axes: Axes, missing: list[str]) -> None:
    if missing:
        lines = "\n".join(textwrap.wrap(f"not drawn: {'; '.join(missing)}", 70))
        axes.text(0, -0.14, lines, va="top", fontsize=8.5, color=GREY, parse_math=False)
