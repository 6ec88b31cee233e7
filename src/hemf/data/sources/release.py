"""Finds the parts of a release, zipped or not, in the folder that a user gives."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.strict_csv import read_csv_table
from hemf.data.columns import known
from hemf.data.dataset import COLUMNS, DataSet, Sample
from hemf.data.metadata.private import kept_columns
from hemf.data.sources.download import unpack


class Release:
    """A release on disk.

    Args:
        root: its folder, the folder above, or a zip of it. Zips are unpacked where they lie, as one would by
            hand.

    Raises:
        HemfError: there is no such folder or zip.
    """

    def __init__(self, root: Path):
        root = root.resolve()
        if root.suffix.lower() == ".zip" and root.is_file():
            root = unpack(root)
        if not root.is_dir():
            raise HemfError(f"no folder {root}; give the release's folder as root, or --download true")
        self.root = root

    def find(self, name: str) -> Path | None:
        """Find file or folder ``name`` of the release; a zip called so is unpacked; None without either."""
        places = [self.root, *sorted(p for p in self.root.iterdir() if p.is_dir())]
        for place in places:
            if (place / name).exists():
                return place / name
        for place in places:
            if (place / f"{name}.zip").is_file():
                return unpack(place / f"{name}.zip")
        return None

    def need(self, name: str) -> Path:
        """Find like ``find``, but insist.

        Raises:
            HemfError: it is not there.
        """
        found = self.find(name)
        if found is None:
            raise HemfError(f"{self.root} holds no {name} or {name}.zip; give the release's folder as root")
        return found


def table(file: Path) -> list[list[str]]:
    """Return the rows of a release's CSV file, its head first; empty rows are left out.

    Raises:
        HemfError: it is empty, no CSV in UTF-8, or a row is longer or shorter than its head.
    """
    read = read_csv_table(file, ",", mend="fetch the release again")
    if not read.head:
        raise HemfError(f"{file} is empty; fetch the release again")
    return [read.head, *read.rows]


def column(file: Path, head: list[str], names: Iterable[str]) -> int:
    """Place of the first of ``names`` (lower case) in a table's head.

    Raises:
        HemfError: none of them is there.
    """
    head = [cell.strip().lower() for cell in head]
    for name in names:
        if name in head:
            return head.index(name)
    raise HemfError(f"{file} has no column {' or '.join(names)}; fetch the release again")


def data_set(
    name: str, classes: list[str], root: Path, samples: Iterable[tuple[Path, str, str, str]]
) -> DataSet:
    """Return a data set of (file, label, group, split), the files below ``root``."""
    rows = [
        Sample(file.relative_to(root).as_posix(), label, group, split)
        for file, label, group, split in samples
    ]
    return DataSet(name, classes, rows, root, {"source": name})


def with_metadata(data: DataSet, told: Mapping[str, Mapping[str, str]]) -> DataSet:
    """Return a data set with what a release tells of each image.

    Args:
        data: the data set.
        told: by path, the values of its columns; a word for nothing, such as unknown, counts as missing.
    """
    names = list(dict.fromkeys(name for row in told.values() for name in row))
    samples = [
        replace(s, metadata={name: known(told.get(s.path, {}).get(name, "")) for name in names})
        for s in data.samples
    ]
    return replace(data, samples=samples)


def with_columns(data: DataSet, wanted: str) -> DataSet:
    """Return a data set with those of its columns alone that are wanted, see ``kept_columns``.

    Raises:
        HemfError: it has no such column.
    """
    names, _ = kept_columns(
        {name: data.column(name) for name in data.column_names}, COLUMNS, len(data.classes), wanted
    )
    samples = [replace(s, metadata={name: s.metadata[name] for name in names}) for s in data.samples]
    return replace(data, samples=samples)
