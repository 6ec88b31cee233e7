"""How training went, from a run's ``metrics.csv``: a figure, and the same as a table."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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
    scores = [name for name in epochs[0] if name.startswith("val_") and name not in LOSSES]
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        _draw(left, epochs, LOSSES)
        left.set_title("loss", fontsize=10, loc="left")
        _draw(right, epochs, {name: name.removeprefix("val_").replace("_", " ") for name in scores})
        right.set_title("validation", fontsize=10, loc="left")
        for axes in (left, right):
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#EEEEEE")
            if kept is not None:
                axes.axvline(kept, color=GREY, linestyle=":", linewidth=1.2, label=f"kept: epoch {kept}")
            if axes.get_legend_handles_labels()[1]:
                axes.legend(fontsize=8.5, frameon=False)
    return figure


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
