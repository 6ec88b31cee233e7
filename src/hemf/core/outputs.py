"""Guards what a verb writes where the user asks: only over files that hemf wrote, never over its input.

A file that is there already is known as hemf's by a mark that its format allows: the columns of a table, the
keys of a JSON object, the software named in a picture.
"""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

SOFTWARE = {"Software": "hemf"}
"""The mark of a PNG, as matplotlib's ``metadata`` and Pillow's text chunks take it."""

Known = Callable[[Path], bool]


def check_output(path: Path, is_ours: Known, inputs: Iterable[Path] = ()) -> None:
    """Check that a file may be written, before any work is done for it.

    Args:
        path: the file.
        is_ours: whether what is there was written by hemf.
        inputs: files that the verb reads.

    Raises:
        HemfError: it is one of the inputs, a folder, or was not written by hemf.
    """
    if not path.exists() and not path.is_symlink():
        return
    if any(path.samefile(one) for one in inputs if one.exists()):
        raise HemfError(f"{path} is one of the files to read; choose another --out")
    if path.is_dir():
        raise HemfError(f"{path} is a folder; choose another --out")
    if path.is_symlink() or not (path.is_file() and is_ours(path)):  # hemf writes no links
        raise HemfError(f"{path} exists and was not written by hemf; move it away, or choose another --out")


def is_table(*columns: str) -> Known:
    """Return a check that recognises a CSV file by its first columns."""

    def known(path: Path) -> bool:
        try:
            with open(path, encoding="utf-8", newline="") as file:
                return tuple(next(csv.reader(file), []))[: len(columns)] == columns
        except (OSError, UnicodeDecodeError, csv.Error):
            return False

    return known


def is_report(*keys: str) -> Known:
    """Return a check that recognises a JSON file by the keys of its object."""

    def known(path: Path) -> bool:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(found, dict) and found.keys() >= set(keys)

    return known


def is_picture(path: Path) -> bool:
    """Recognise a PNG by the software that it names."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            return image.info.get("Software") == SOFTWARE["Software"]
    except Exception:  # a stranger's file, in whatever state
        return False


def beside(path: Path, is_ours: Known) -> Known:
    """Return a check that recognises a file by the one that hemf writes along with it."""
    return lambda _: path.is_file() and is_ours(path)


def check_report(path: Path, keys: Sequence[str], suffixes: Iterable[str]) -> None:
    """Check a JSON report, known by its keys, and the files of other suffixes that are written with it.

    Raises:
        HemfError: one of them was not written by hemf.
    """
    ours = is_report(*keys)
    check_output(path, ours)
    for suffix in suffixes:
        check_output(path.with_suffix(suffix), beside(path, ours))


def png_mark() -> "PngInfo":
    """Return what Pillow takes as ``pnginfo`` to mark a picture as hemf's."""
    from PIL.PngImagePlugin import PngInfo

    mark = PngInfo()
    for key, value in SOFTWARE.items():
        mark.add_text(key, value)
    return mark
