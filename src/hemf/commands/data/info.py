"""``hemf data info``: what a data set holds, as tables and as a contact sheet."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from hemf.core.errors import HemfError
from hemf.core.machine import usable_cores
from hemf.core.tables import Column, Table
from hemf.core.text import counted

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet

SHEET = "contact-sheet.png"


def info(data: str, *, out: str | None = None) -> int:
    """Show counts, sizes, groups and a contact sheet of a data set.

    Every image is decoded, so that damaged ones are found; the exit code is 1 if there are any.

    Args:
        data: prepared data set, class-folder tree, train/val/test tree or CSV file.
        out: PNG file of the contact sheet, or folder for it; by default contact-sheet.png inside a prepared
            data set, and no sheet of other data.

    Raises:
        HemfError: there is no data set, or the contact sheet cannot be written.
    """
    from rich.console import Console

    from hemf.core.files import whole_file
    from hemf.core.outputs import check_output, is_picture, png_mark
    from hemf.data.contact_sheet import contact_sheet
    from hemf.data.load import load_data
    from hemf.data.summary import column_tables, counts_table, group_lines, notes, split_line

    dataset = load_data(data)
    sheet = _sheet_path(Path(data), out)
    if sheet is not None:
        check_output(sheet, is_picture, map(dataset.path, dataset.samples))
    found = survey(dataset)
    console = Console(highlight=False)
    console.print(counts_table(dataset))
    words: dict[str, Any] = {"markup": False, "soft_wrap": True}
    console.print(split_line(dataset), *group_lines(dataset), *notes(dataset), "", sep="\n", **words)
    for table in column_tables(dataset):
        console.print(table)
    console.print(_files_table(found))
    if found.unreadable:
        console.print(
            f"{len(found.unreadable)} of {counted(len(dataset.samples), 'image')} cannot be read:",
            style="red",
        )
        console.print("\n".join(found.unreadable), **words)
    if sheet is None:
        console.print("contact sheet: none; give --out FILE.png for one", **words)
    else:
        with whole_file(sheet) as temporary:
            contact_sheet(dataset).save(temporary, pnginfo=png_mark())
        console.print(f"contact sheet: {sheet}", **words)
    return 1 if found.unreadable else 0


@dataclass
class Survey:
    """What the image files of a data set are like.

    Args:
        widths: widths in pixels, of the images that can be read.
        heights: heights in pixels.
        modes: number of images of each of Pillow's modes.
        unreadable: for each other file a line that names it and says why.
    """

    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)


def survey(data: "DataSet") -> Survey:
    """Decode every image of a data set, on all cores, and keep what it is like."""
    from concurrent.futures import ThreadPoolExecutor

    from rich.console import Console
    from rich.progress import track

    found = Survey()
    paths = [data.path(sample) for sample in data.samples]
    with ThreadPoolExecutor(usable_cores()) as pool:
        looks = pool.map(_look, paths)
        for look in track(looks, "reading images", len(paths), console=Console(stderr=True), transient=True):
            if isinstance(look, str):
                found.unreadable.append(look)
            else:
                (width, height), mode = look
                found.widths.append(width)
                found.heights.append(height)
                found.modes[mode] += 1
    return found


def _look(path: Path) -> tuple[tuple[int, int], str] | str:
    from hemf.core.errors import UnreadableImage
    from hemf.data.image.read import inspect_image

    try:
        return inspect_image(path)
    except UnreadableImage as error:
        return str(error)


def _sheet_path(data: Path, out: str | None) -> Path | None:
    """Choose where the contact sheet goes: not among a user's own files unless asked to."""
    if out is None:
        prepared = (data / "dataset.json").is_file() and os.access(data, os.W_OK)
        return data / SHEET if prepared else None
    path = Path(out) / SHEET if Path(out).is_dir() else Path(out)
    if path.suffix.lower() != ".png":
        raise HemfError(f"the contact sheet is a PNG; give {path.with_suffix('.png')} instead of {path}")
    return path


def _files_table(found: Survey) -> Table:
    modes = ", ".join(f"{mode} {number:,}" for mode, number in found.modes.most_common())
    columns = [
        Column("pixels", "pixels"),
        *(Column(name, name, ",") for name in ("least", "median", "greatest")),
    ]
    rows = [
        {"pixels": side, "least": min(values), "median": round(median(values)), "greatest": max(values)}
        for side, values in (("width", found.widths), ("height", found.heights))
        if values
    ]
    return Table(f"image files: {modes}", columns, rows)
