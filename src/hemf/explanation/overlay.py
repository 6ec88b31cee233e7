"""Heat maps laid over their image."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from hemf.data.image.wide import bands
from hemf.figures.classification import STYLE, short_name

COLOURS = "inferno"
"""Even in brightness from black over red to yellow, also for readers who do not tell red from green."""
MOST_COVER = 0.75


def overlay(image: Image.Image, heat: np.ndarray) -> Image.Image:
    """Draw the image under its heat map: the hotter, the less of the image shows through.

    Args:
        image: RGB (other modes are converted).
        heat: h x w from 0 to 1, of any resolution; it is stretched over the whole image. A map of the model's
            input goes through ``place`` first.

    Returns:
        An RGB image of the image's size; where there is no heat it is the image, level for level.
    """
    field = np.ascontiguousarray(heat, np.float32)
    if field.shape != (image.height, image.width):
        field = np.asarray(Image.fromarray(field).resize(image.size, Image.Resampling.BILINEAR))
    covered = Image.new("RGB", image.size)
    for rows in bands(*field.shape):  # a large image is held twice, not as numbers too
        strip = field[rows].clip(0, 1)[..., None]
        pixels = np.asarray(image.crop((0, rows.start, image.width, rows.start + len(strip))).convert("RGB"))
        covered.paste(Image.fromarray(_covered(pixels, strip)), (0, rows.start))
    return covered


def _covered(pixels: np.ndarray, field: np.ndarray) -> np.ndarray:
    colours = 255 * matplotlib.colormaps[COLOURS](field[..., 0])[..., :3]
    cover = MOST_COVER * field
    return np.rint((1 - cover) * pixels + cover * colours).astype(np.uint8)


def stage_figure(
    image: Image.Image,
    stages: Mapping[str, Sequence[np.ndarray]],
    title: str = "",
    bars: Mapping[str, Sequence[float]] = MappingProxyType({}),
) -> Figure:
    """Draw every stage of every branch in one figure: a row a branch, a column a stage, the image first.

    Args:
        image: as the model gets it, resized and cropped.
        stages: by branch, the heat maps (h x w) of its stages from first to last.
        title: over the figure, in one line.
        bars: by their name, a value for each stage; drawn under the image, as many as there are rows.
    """
    columns = 1 + max(map(len, stages.values()))
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(1.9 * columns, 2.1 * len(stages) + 0.5), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(short_name(title, 100), fontsize=10, parse_math=False)
        grid = figure.subplots(len(stages), columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        grid[0, 0].imshow(image.convert("RGB"))
        grid[0, 0].set_title("image", fontsize=9)
        for row, (branch, maps) in zip(grid, stages.items(), strict=True):
            for axes, (number, heat) in zip(row[1:], enumerate(maps, start=1), strict=False):
                axes.imshow(overlay(image, heat))
                grid_size = f"{heat.shape[0]} x {heat.shape[1]}" if heat.any() else "no evidence"
                axes.set_title(f"{branch} {number}: {grid_size}", fontsize=9)
        for axes, (name, values) in zip(grid[1:, 0], bars.items(), strict=False):
            _draw_bars(axes, name, values)
    return figure


def _draw_bars(axes: Axes, name: str, values: Sequence[float]) -> None:
    """Draw one value a stage, the first stage on top."""
    axes.set_axis_on()
    numbers = range(1, len(values) + 1)
    bars = axes.barh(numbers, values)
    axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
    least, most = min(0.0, *values), max(0.0, *values)
    room = 0.4 * (most - least) or 1.0
    axes.set_xlim(least - (room if least < 0 else 0), most + room)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_yticks(numbers)
    axes.set_xticks([])
    axes.set_title(f"{name} of stage", fontsize=9)
