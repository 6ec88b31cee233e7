"""A CSV file: path and label of each image, and what else is known."""

import os
from dataclasses import replace
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.strict_csv import CsvTable, read_csv_table
from hemf.core.text import counted
from hemf.data.columns import Columns, find_columns, known, places_of
from hemf.data.dataset import COLUMNS, SPLITS, DataSet, Sample
from hemf.data.metadata.private import AUTO, kept_columns
from hemf.data.sources.folder import split_name
from hemf.data.sources.registry import Source, register


def read_csv(path: str | os.PathLike, group_column: str | None = None, wanted: str = AUTO) -> DataSet:
    """Read the data set of a CSV file.

    Columns path and label are needed; split and fold are used where they are, and one that names patients or
    the like gives the groups, see ``hemf.data.columns``. The others are metadata, but for those that may tell
    who a patient is, see ``hemf.data.metadata.private``; ``info["columns"]`` names both. Names of
    columns and splits may be in any case, and values are separated by commas, semicolons or tabs. Paths start
    from the CSV's folder, or are absolute. Classes are in alphabetical order. Where no group is given, the
    patients of DICOM files are the groups.

    Args:
        path: the file.
        group_column: the column whose values keep images together; ``none`` for no such column.
        wanted: which columns become metadata, see ``kept_columns``.

    Raises:
        HemfError: a column or value is missing or wrong, a relative path leaves the CSV's folder, or it
            cannot be told which column names the patients.
    """
    from hemf.data.patients import with_patients

    path = Path(path)
    table = read_csv_table(path)
    columns = find_columns(table, group_column)
    kept, why_not = _kept(table, columns, wanted)
    samples, root = _placed(path, _samples(table, replace(columns, kept=kept)))
    samples = with_patients(samples, root)
    classes = sorted({s.label for s in samples})
    own = {"split": {"method": "official", "given_by": path.name}} if any(s.side for s in samples) else {}
    about = {"group": columns.group, "kept": list(kept), "unused": why_not}
    read = {"rows": len(samples), "columns": about}
    data = DataSet(path.stem, classes, samples, root, {"source": "csv"} | read | own)
    data.check()
    return data


def _kept(table: CsvTable, columns: Columns, wanted: str) -> tuple[dict[str, int], dict[str, str]]:
    """Return the places of the columns that become metadata, and why each other one does not."""
    place = {name.strip(): i for i, name in enumerate(table.head)}
    free = {name: [row[place[name]] for row in table.rows] for name in columns.unused}
    classes = len({row[columns.places["label"]] for row in table.rows})
    names, why_not = kept_columns(free, COLUMNS, classes, wanted)
    return {name: place[name] for name in names}, why_not


def read_rows(path: Path) -> list[Sample]:
    """Return the samples of a manifest, every value as it stands in it.

    Raises:
        HemfError: it is no CSV, or a column or value is missing or wrong.
    """
    table = read_csv_table(path)
    places = places_of(table, COLUMNS)
    further = {name: i for i, name in enumerate(table.head) if name.strip() and i not in places.values()}
    return _samples(table, Columns(places, kept=further), exact=True)


def _placed(path: Path, samples: list[Sample]) -> tuple[list[Sample], Path]:
    """Return the samples with paths from one root, which is the CSV's folder where all lie in it."""
    folder = path.parent.resolve()
    files = [Path(s.path) for s in samples]
    for file in files:
        if not file.is_absolute() and os.path.normpath(file).startswith(".."):
            raise HemfError(f"{path}: {file} lies outside the CSV's folder; write that path in full")
    absolute = [Path(os.path.normpath(folder / file)) for file in files]
    outside = [str(file.parent) for file in absolute if not file.is_relative_to(folder)]
    root = Path(os.path.commonpath([str(folder), *outside])) if outside else folder
    placed = [
        replace(s, path=file.relative_to(root).as_posix()) for s, file in zip(samples, absolute, strict=True)
    ]
    return placed, root


def _samples(table: CsvTable, columns: Columns, exact: bool = False) -> list[Sample]:
    """Return a sample a row; spaces around values count only if ``exact``, and so do groups such as NA."""
    samples = [
        _sample(f"{table.path}, line {line}", row, columns, exact)
        for line, row in zip(table.lines, table.rows, strict=True)
    ]
    for what in ("split", "fold"):
        given = [getattr(s, what) not in ("", None) for s in samples if what == "split" or s.split != "test"]
        if any(given) and not all(given):
            lacking = given.count(False)
            raise HemfError(
                f"{table.path}: {counted(lacking, 'row')} without {what}; fill in all of them or none"
            )
    return samples


def _sample(where: str, row: list[str], columns: Columns, exact: bool) -> Sample:
    value = {name: row[place] if exact else row[place].strip() for name, place in columns.places.items()}
    for needed in ("path", "label"):
        if not value[needed]:
            raise HemfError(f"{where}: no {needed}; fill it in or remove the row")
    split, fold, group = (value.get(name, "") for name in ("split", "fold", "group"))
    if split and split_name(split) is None:
        raise HemfError(f"{where}: no split {split!r}; use {', '.join(SPLITS)}")
    if fold and not (fold.isascii() and fold.isdigit() and len(fold) < 10):
        raise HemfError(f"{where}: fold {fold!r} is no whole number from 0")
    number, told = int(fold) if fold else None, str if exact else known
    metadata = {name: told(row[place]) for name, place in columns.kept.items()}
    side = split_name(split) or ""
    return Sample(value["path"], value["label"], told(group), side, number, metadata)


register(Source(name="csv", read=read_csv))
