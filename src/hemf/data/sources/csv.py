"""A CSV file: path and label of each image, and what else is known."""

import csv
import io
import os
from pathlib import Path

from hemf.data.manifest import SPLITS, DataSet, Sample
from hemf.data.sources.folder import split_name
from hemf.data.sources.registry import Source, register
from hemf.errors import HemfError

GROUP_COLUMNS = ("group", "patient", "lesion")


def read_csv(path: str | os.PathLike) -> DataSet:
    """Data set of a CSV file.

    Columns path and label are needed; group (or patient, or lesion), split and fold are used where they are;
    others are left alone. Names of columns and splits may be in any case, and values are separated by commas,
    semicolons or tabs. Paths start from the CSV's folder, or are absolute. Classes are in alphabetical order.
    Where no group is given, the patients of DICOM files are the groups.

    Raises:
        HemfError: a column or value is missing or wrong, or a relative path leaves the CSV's folder.
    """
    from hemf.data.patients import with_patients

    path = Path(path)
    folder = path.parent.resolve()
    samples = read_rows(path)
    files = [Path(s.path) for s in samples]
    for file in files:
        if not file.is_absolute() and os.path.normpath(file).startswith(".."):
            raise HemfError(f"{path}: {file} lies outside the CSV's folder; write that path in full")
    absolute = [Path(os.path.normpath(folder / file)) for file in files]
    outside = [str(file.parent) for file in absolute if not file.is_relative_to(folder)]
    root = Path(os.path.commonpath([str(folder), *outside])) if outside else folder
    samples = [
        Sample(file.relative_to(root).as_posix(), s.label, s.group, s.split, s.fold)
        for s, file in zip(samples, absolute, strict=True)
    ]
    samples = with_patients(samples, root)
    classes = sorted({s.label for s in samples})
    own = {"split": {"method": "official", "given_by": path.name}} if any(s.side for s in samples) else {}
    data = DataSet(path.stem, classes, samples, root, {"source": "csv"} | own)
    data.check()
    return data


def read_rows(path: Path, exact: bool = False) -> list[Sample]:
    """Samples of a CSV file, their paths as they stand in it; spaces around values count only if ``exact``.

    Raises:
        HemfError: a column or value is missing or wrong.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise HemfError(f"cannot read {path}: {error}; save it as CSV in UTF-8") from error
    head = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    columns = {name.strip().lower(): name for name in rows.fieldnames or []}
    for needed in ("path", "label"):
        if needed not in columns:
            raise HemfError(f"{path} has no column {needed!r}; it has {', '.join(columns) or 'none'}")
    group = [name for name in GROUP_COLUMNS if name in columns]
    if len(group) > 1:
        raise HemfError(f"{path} has columns {' and '.join(group)}; keep the coarsest of them")
    if group:
        columns["group"] = columns[group[0]]
    try:
        samples = [_sample(f"{path}, line {rows.line_num}", row, columns, exact) for row in rows]
    except csv.Error as error:
        raise HemfError(f"{path}, line {rows.line_num}: {error}; look for an unclosed quote") from error
    for what in ("split", "fold"):
        given = [getattr(s, what) not in ("", None) for s in samples]
        if any(given) and not all(given):
            raise HemfError(f"{path}: {given.count(False)} rows have no {what}; fill in all of them or none")
    return samples


def _sample(where: str, row: dict[str, str], columns: dict[str, str], exact: bool) -> Sample:
    if None in row:
        raise HemfError(f"{where}: more values than columns; put values that hold a separator in quotes")
    value = {name: row.get(column) or "" for name, column in columns.items()}
    if not exact:
        value = {name: text.strip() for name, text in value.items()}
    for needed in ("path", "label"):
        if not value[needed]:
            raise HemfError(f"{where}: no {needed}; fill it in or remove the row")
    split, fold = value.get("split", ""), value.get("fold", "")
    if split and split_name(split) is None:
        raise HemfError(f"{where}: no split {split!r}; use {', '.join(SPLITS)}")
    if fold and not fold.isdecimal():
        raise HemfError(f"{where}: fold {fold!r} is no whole number from 0")
    number = int(fold) if fold else None
    return Sample(value["path"], value["label"], value.get("group", ""), split_name(split) or "", number)


register(Source(name="csv", read=read_csv))
