"""How training went, from a run's ``metrics.csv``: a figure, and the same as a table."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hemf.core.strict_csv import read_csv_table
from hemf.core.tables import Column, Table
from hemf.figures.classification import COLOURS, DASHES, GREY, STYLE

Epochs = Sequence[dict[str, float | None]]
LOSSES = {"train_loss": "training", "val_loss": "validation"}


def read_epochs(file: Path) -> Epochs:
    """Read the rows of ``metrics.csv``, None for an empty cell; no rows where there is no such file."""
    if not file.is_file():
        return []
    table = read_csv_table(file, ",", mend="resume the run, which writes it anew")
    return [{k: float(v) if v else None for k, v in row.items()} for row in table.records()]


def epochs_table(epochs: Epochs) -> Table:
    """Return a row an epoch."""
    formats = {"epoch": ".0f", "step": ".0f"}
    names = [name for name in epochs[0] if any(row[name] is not None for row in epochs)]
    columns = [Column(name, name.replace("_", " "), formats.get(name, ".4g")) for name in names]
    return Table("Training, epoch by epoch", columns, epochs)


def training_figure(epochs: Epochs, kept: int | None) -> Figure:
    """Return the losses of training and validation, and the measures of validation, over the epochs.

    Args:
        epochs: epochs of the run.
        kept: the epoch whose weights became the model, which is marked.
    """
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (title, names) in zip(figure.subplots(1, 2), _panels(epochs).items(), strict=True):
            _panel(axes, epochs, names, kept)
            axes.set_title(title, fontsize=10, loc="left")
    return figure


def training_panels(epochs: Epochs, kept: int | None) -> dict[str, Figure]:
    """Return the two halves of the figure, each by what it shows."""
    figures = {}
    for what, names in zip(
        ("Losses of training and validation", "Measures of validation"), _panels(epochs).values(), strict=True
    ):
        with matplotlib.style.context(STYLE):
            figures[what] = Figure(figsize=(4.6, 3.2))
            FigureCanvasAgg(figures[what])
            _panel(figures[what].add_axes((0, 0, 1, 1)), epochs, names, kept)
    return figures


def _panels(epochs: Epochs) -> dict[str, dict[str, str]]:
    """Return which columns each half shows, and in which words."""
    scores = [name for name in epochs[0] if name.startswith("val_") and name not in LOSSES]
    return {"loss": LOSSES, "validation": {name: _words(name) for name in scores}}


def _words(name: str) -> str:
    """Return what a column of validation is called."""
    name = name.removeprefix("val_").replace("_", " ")
    return name.replace("roc auc", "ROC AUC").replace("f1", "F1").replace("mcc", "MCC")


def _panel(axes: Axes, epochs: Epochs, names: dict[str, str], kept: int | None) -> None:
    """Draw columns over the epochs, with a legend below the axes, where no curve is."""
    _draw(axes, epochs, names)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#EEEEEE")
    if kept is not None:
        axes.axvline(kept, color=GREY, linestyle=":", linewidth=1.2, label=f"kept: epoch {kept}")
    if curves := len(axes.get_legend_handles_labels()[1]):
        where = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": min(curves, 3)}
        axes.legend(fontsize=8.5, frameon=False, **where)


def _draw(axes: Axes, epochs: Epochs, names: dict[str, str]) -> None:
    for k, (name, words) in enumerate(names.items()):
        points = [(row["epoch"], row[name]) for row in epochs if row.get(name) is not None]
        if points:
            marker = "o" if len(points) < 3 else None
            look = {
                "color": COLOURS[k % len(COLOURS)],
                "linestyle": DASHES[k % len(DASHES)],
                "marker": marker,
            }
            axes.plot(*zip(*points, strict=True), linewidth=1.6, label=words, **look)
