"""``hemf data info``: what a data set holds, as tables and as a contact sheet."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from hemf.errors import HemfError

if TYPE_CHECKING:
    from rich.table import Table

    from hemf.data.manifest import DataSet

SHEET = "contact-sheet.png"


def info(data: str, *, out: str | None = None) -> int:
    """Show counts, sizes, groups and a contact sheet of a data set.

    Every image is decoded, so that damaged ones are found; the exit code is 1 if there are any.

    Args:
        data: prepared data set, class-folder tree, train/val/test tree or CSV file.
        out: PNG file of the contact sheet; by default contact-sheet.png inside a prepared data set, else in
            the current folder.

    Raises:
        HemfError: there is no data set, or the contact sheet cannot be written.
    """
    from rich.console import Console

    from hemf.data.manifest import load_data
    from hemf.data.sheet import contact_sheet
    from hemf.files import whole_file

    dataset = load_data(data)
    sheet = _sheet_path(Path(data), out)
    found = survey(dataset)
    console = Console(highlight=False)
    console.print(_counts_table(dataset))
    words = {"markup": False, "soft_wrap": True}
    console.print(_split_line(dataset), _groups_lines(dataset), "", sep="\n", **words)
    console.print(_files_table(found))
    if found.unreadable:
        console.print(
            f"{len(found.unreadable)} of {len(dataset.samples)} images cannot be read:", style="red"
        )
        console.print("\n".join(found.unreadable), **words)
    with whole_file(sheet) as temporary:
        contact_sheet(dataset).save(temporary)
    console.print(f"contact sheet: {sheet}", **words)
    return 1 if found.unreadable else 0


@dataclass
class Survey:
    """What the image files of a data set are like.

    Args:
        widths: in pixels, of the images that can be read.
        heights: in pixels.
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
    with ThreadPoolExecutor(os.cpu_count()) as pool:
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
    from hemf.data.image import UnreadableImage, inspect_image

    try:
        return inspect_image(path)
    except UnreadableImage as error:
        return str(error)


def _sheet_path(data: Path, out: str | None) -> Path:
    """Where the contact sheet goes."""
    if out is None:
        prepared = (data / "dataset.json").is_file() and os.access(data, os.W_OK)
        return data / SHEET if prepared else Path(SHEET)
    path = Path(out) / SHEET if Path(out).is_dir() else Path(out)
    if path.suffix.lower() != ".png":
        raise HemfError(f"the contact sheet is a PNG; give {path.with_suffix('.png')} instead of {path}")
    return path


def _counts_table(data: "DataSet") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    counts = data.counts()
    table = Table(title=escape(data.name), title_justify="left", show_footer=True)
    total = len(data.samples)
    table.add_column("class", "all classes")
    for side, row in counts.items():
        table.add_column(side or "no split", f"{sum(row.values()):,}", justify="right")
    table.add_column("all", f"{total:,}", justify="right")
    table.add_column("share", "100.0 %", justify="right")
    for name in data.classes:
        row = [counts[side][name] for side in counts]
        table.add_row(
            escape(name),
            *(f"{n:,}" for n in row),
            f"{sum(row):,}",
            f"{sum(row) / total:.1%}".replace("%", " %"),
        )
    return table


def _files_table(found: Survey) -> "Table":
    from rich.table import Table

    modes = ", ".join(f"{mode} {number:,}" for mode, number in found.modes.most_common())
    table = Table(title=f"image files: {modes}", title_justify="left")
    table.add_column("pixels")
    for name in ("least", "median", "greatest"):
        table.add_column(name, justify="right")
    for name, values in (("width", found.widths), ("height", found.heights)):
        table.add_row(name, *(f"{round(of(values)):,}" for of in (min, median, max)) if values else ())
    return table


def _split_line(data: "DataSet") -> str:
    """How the split was made."""
    about = data.info.get("split", {})
    details = ", ".join(_details(about))
    return f"split: {about.get('method', 'unknown')}" + (f" ({details})" if details else "")


def _details(about: dict, prefix: str = "") -> Iterator[str]:
    for key, value in about.items():
        if isinstance(value, dict):
            yield from _details(value)
        elif key != "method" and not isinstance(value, list):
            yield f"{key} {value}"


def _groups_lines(data: "DataSet") -> str:
    """How many patients or lesions there are, and whether the split parts any."""
    sizes = sorted(Counter(sample.group for sample in data.samples if sample.group).values())
    if not sizes:
        return "groups: none known; images of one patient may be on two sides of the split"
    reach = f"{sizes[0]} to {sizes[-1]}" if sizes[0] < sizes[-1] else sizes[0]
    lines = [f"groups: {len(sizes):,} of {reach} images (median {median(sizes):g})"]
    if unknown := len(data.samples) - sum(sizes):
        lines.append(f"        {unknown:,} images of unknown group")
    if leaking := data.leaking_groups():
        parts = ", ".join(f"{n:,} of {side}" for side, n in data.leaks().items())
        lines.append(
            f"        {len(leaking):,} on two or more sides of the split; images that share one: {parts}"
        )
    else:
        lines.append("        none on two sides of the split")
    return "\n".join(lines)
