"""Writes what ``hemf explain`` leaves on disk: overlays, raw maps, figures of the stages, and a table."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hemf.core.files import whole_file
from hemf.core.outputs import SOFTWARE, beside, check_output, is_picture, is_table, png_mark
from hemf.explanation.overlay import overlay, stage_figure
from hemf.explanation.selection import Selected
from hemf.inference.classifier import Prediction

LONGEST_STEM = 50
"""Characters of a name that are kept: a file system takes 255 bytes, of up to four a character, in all."""
COLUMNS = (
    *("path", "prediction", "probability", "target", "target_probability"),
    *("layer", "blank", "overlay", "heat", "stages"),
)


@dataclass(frozen=True)
class Explained:
    """An image, what the model says of it, and where it finds that.

    Args:
        path: the image's file.
        name: name of the files that are written of it, without suffix.
        image: the image, RGB or grey.
        prediction: the model's.
        target: the class that the heat speaks for.
        layer: where it was found.
        blank: whether there is no heat.
        heat: the image's height x width, float32 from 0 to 1.
        seen: the image as the model gets it, resized and cropped.
        stages: by branch, the heat maps of its stages, each h x w of ``seen``; None if not asked for.
        selected: what its stages have to do with the target, where the model selects among them.
    """

    path: str
    name: str
    image: Image.Image
    prediction: Prediction
    target: str
    layer: str
    blank: bool
    heat: np.ndarray
    seen: Image.Image
    stages: dict[str, list[np.ndarray]] | None
    selected: Selected | None = None


def free_names(files: Iterable[Any]) -> list[str]:
    """Return a name for what is written of each image, from its own; no two are the same."""
    taken: set[str] = set()
    return [_free_name(Path(str(file)).stem, taken) for file in files]


def check_free(folder: Path, files: Sequence[Path], stages: bool) -> None:
    """Check that nothing but what hemf wrote earlier would be written over.

    Raises:
        HemfError: an image, or another file that is not hemf's.
    """
    check_output(folder / "explain.csv", is_table(*COLUMNS))
    if not folder.exists():
        return
    for name in free_names(files):
        picture = folder / f"{name}.png"
        check_output(folder / f"{name}.npy", beside(picture, is_picture))
        check_output(picture, is_picture, files)
        if stages:
            check_output(folder / f"{name}-stages.png", is_picture, files)


def write_explanations(found: Iterable[Explained], folder: Path) -> int:
    """Write the files of each image as it comes, and the table when all are there.

    Args:
        found: the images.
        folder: where to write.

    Returns:
        Their number.
    """
    count = 0
    with (
        whole_file(folder / "explain.csv") as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.writer(file)
        for one in found:
            if not count:
                table.writerow([*COLUMNS, *_selection_columns(one)])
            names = _write(one, folder)
            says, target = one.prediction, one.prediction.probabilities[one.target]
            where = one.layer, str(one.blank).lower()
            row = [one.path, says.label, says.probability, one.target, target, *where, *names]
            table.writerow([*row, *_selection_cells(one)])
            count += 1
        if not count:
            table.writerow(COLUMNS)
    return count


def _selection_columns(one: Explained) -> list[str]:
    """Name the columns of a model that selects among its stages; others have none."""
    if one.selected is None:
        return []
    numbers = range(1, len(one.selected.weights) + 1)
    return ["deciding_stage", *(f"{part}_{i}" for part in ("weight", "evidence") for i in numbers)]


def _bars(one: Explained) -> dict[str, list[float]]:
    """Return what is drawn of each stage."""
    if one.selected is None:
        return {}
    return {"weight": one.selected.weights.tolist(), "evidence": one.selected.evidence.tolist()}


def _selection_cells(one: Explained) -> list[object]:
    if one.selected is None:
        return []
    return [one.selected.decided or "", *one.selected.weights, *one.selected.evidence]


def _write(one: Explained, folder: Path) -> tuple[str, str, str]:
    """Write the files of one image; returns their names, the last empty without stages."""
    name = one.name
    picture, raw, stages = f"{name}.png", f"{name}.npy", f"{name}-stages.png" if one.stages else ""
    with whole_file(folder / picture) as temporary:
        overlay(one.image, one.heat).save(temporary, pnginfo=png_mark())
    with whole_file(folder / raw) as temporary:
        np.save(temporary, one.heat)
    if one.stages:
        title = f"evidence for {one.target} (p = {one.prediction.probabilities[one.target]:.3f})"
        figure = stage_figure(one.seen, one.stages, title, _bars(one))
        with whole_file(folder / stages) as temporary:
            figure.savefig(temporary, dpi=120, metadata=SOFTWARE)
    return picture, raw, stages


def _free_name(stem: str, taken: set[str]) -> str:
    """Return a name that no image has yet, on file systems that ignore case too; it is then ``taken``."""
    stem = stem[:LONGEST_STEM]
    name, number = stem, 1
    while {name.casefold(), f"{name}-stages".casefold()} & taken:
        number += 1
        name = f"{stem}-{number}"
    taken |= {name.casefold(), f"{name}-stages".casefold()}
    return name
