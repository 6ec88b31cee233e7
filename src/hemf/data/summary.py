"""Summarises a manifest for the terminal: counts, split, groups and whether any are on two sides."""

import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from hemf.core.tables import Column, Table
from hemf.core.text import counted, printable
from hemf.data.checks.gaps import gaps
from hemf.data.checks.slips import likely_slips
from hemf.data.metadata.column import MISSING, numbers_of

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet

MOST_VALUES = 20  # categories of a column that a table shows, the most frequent ones


def notes(data: "DataSet") -> list[str]:
    """List what a reader should know about how the data set was read: a line each, without line breaks.

    The columns of a CSV that were used and that were not, what was left out of a folder, what in it is in
    doubt, what the split lacks, and names of classes or groups that are probably one name written twice.
    """
    lines = [*_columns(data.info.get("columns"), data.info.get("rows"))]
    lines += [f"left out: {what}" for what in _texts(data.info.get("left_out"))]
    lines += [f"warning: {what}" for what in (*_texts(data.info.get("doubts")), *gaps(data))]
    for what, names in (("classes", data.classes), ("groups", {s.group for s in data.samples if s.group})):
        lines += _slips(what, likely_slips(names))
    return [printable(line) for line in lines]


def _texts(value: Any) -> list[str]:
    """Return the texts in a list of ``dataset.json``, which may be a stranger's and hold anything."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _columns(columns: Any, rows: Any) -> Iterator[str]:
    if isinstance(columns, dict) and isinstance(rows, int):
        group, kept = columns.get("group"), ", ".join(_texts(columns.get("kept")))
        used = f"groups: column {group}" if group else "no column names groups"
        yield f"rows read: {rows:,}; {used}; columns kept as metadata: {kept or 'none'}"
        yield from _left_out(columns.get("unused"))


def _left_out(unused: Any) -> Iterator[str]:
    """Yield which columns were not kept, and why."""
    if isinstance(unused, dict) and unused:
        each = ", ".join(f"{name} ({why})" for name, why in unused.items())
        yield f"columns left out: {each}; hemf data prepare --columns keeps those that it names"


def _slips(what: str, slips: list[list[str]]) -> Iterator[str]:
    if slips:
        alike = "; ".join(" and ".join(map(ascii, found)) for found in slips[:5])
        more = f"; {len(slips) - 5} more" if len(slips) > 5 else ""
        yield f"warning: likely a slip, {what} that differ only in how they are written: {alike}{more}"


def counts_table(data: "DataSet") -> Table:
    """Return the images by class and side of the split, with totals and shares."""
    counts, total = data.counts(), len(data.samples)
    columns = [Column("class", "class")]
    columns += [Column(f"side {side}", side or "no split", ",") for side in counts]
    columns += [Column("all", "all", ","), Column("share", "share")]
    rows = [
        {"class": name} | _counts_row({side: counts[side][name] for side in counts}, total)
        for name in data.classes
    ]
    sums = {side: sum(row.values()) for side, row in counts.items()}
    rows.append({"class": "all classes"} | _counts_row(sums, total))
    return Table(f"{data.name}: {counted(total, 'image', form=',')}", columns, rows, last_apart=True)


def _counts_row(sides: dict[str, int], total: int) -> dict[str, Any]:
    images = sum(sides.values())
    share = f"{images / total:.1%}".replace("%", " %")
    return {f"side {side}": n for side, n in sides.items()} | {"all": images, "share": share}


def column_tables(data: "DataSet") -> list[Table]:
    """Return the columns of metadata, and how the classes and the sides of the split differ in them."""
    columns = data.columns
    if not columns:
        return []
    heads = {"name": "column", "kind": "kind", "different": "values", "missing": "missing"}
    rows = [{key: getattr(column, key) for key in heads} for column in columns]
    tables = [Table("columns of metadata", [Column(key, head, ",") for key, head in heads.items()], rows)]
    for column in columns:
        of_images, sides = data.column(column.name), [s.side for s in data.samples]
        labels = [s.label for s in data.samples]
        targets = [("class", labels, data.classes), ("side", sides, [s for s in data.counts() if s])]
        table_of = _numbers_table if column.kind == "number" else _categories_table
        if column.different:
            tables.append(table_of(column.name, of_images, targets))
    return tables


Targets = list[tuple[str, list[str], list[str]]]
"""Of class and side: the word, its value for each image, and its values in order."""


def _categories_table(name: str, values: list[str], targets: Targets) -> Table:
    """Return the images of each value, by class and by side."""
    shown = [value for value, _ in Counter(filter(None, values)).most_common(MOST_VALUES)]
    rows = [{"value": value} for value in [*shown, *([""] if "" in values else [])]]
    columns = [Column("value", name)]
    for what, of_images, names in targets:
        counts = Counter(zip(values, of_images, strict=True))
        columns += [Column(f"{what} {one}", one, ",") for one in names]
        for row in rows:
            row |= {f"{what} {one}": counts[row["value"], one] for one in names}
    for row in rows:
        row["value"] = row["value"] or MISSING
    return Table(f"images by {name}", columns, rows)


def _numbers_table(name: str, values: list[str], targets: Targets) -> Table:
    """Return median and quartiles of each class and of each side."""
    numbers, rows = numbers_of(values), []
    for what, of_images, names in targets:
        for one in names:
            here = numbers[[value == one for value in of_images]]
            known = here[~np.isnan(here)]
            low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else (None,) * 3
            ends = {"low": low, "middle": middle, "high": high, "missing": len(here) - len(known)}
            rows.append({"of": f"{what} {one}"} | ends)
    columns = [Column("of", "of"), Column("low", "lower quartile", "g"), Column("middle", "median", "g")]
    columns += [Column("high", "upper quartile", "g"), Column("missing", "missing", ",")]
    return Table(name, columns, rows)


def split_line(data: "DataSet") -> str:
    """Say how the split was made."""
    about = data.info.get("split", {})
    details = ", ".join(_details(about))
    return f"split: {about.get('method', 'unknown')}" + (f" ({details})" if details else "")


def _details(about: dict) -> Iterator[str]:
    for key, value in about.items():
        if isinstance(value, dict):
            yield from _details(value)
        elif key != "method" and not isinstance(value, list):
            yield f"{key} {value}"


def group_lines(data: "DataSet", word: str = "groups") -> list[str]:
    """Return how many groups are known, and how many images of each side share theirs with another side.

    Args:
        data: the data set.
        word: what a group is, in the plural.
    """
    sizes = sorted(Counter(sample.group for sample in data.samples if sample.group).values())
    if not sizes:
        return [f"{word}: none known; images of one patient may be on two sides of the split"]
    reach = f"{sizes[0]} to {sizes[-1]}" if sizes[0] < sizes[-1] else sizes[0]
    lines = [f"{word}: {len(sizes):,} of {counted(reach, 'image')} (median {median(sizes):g})"]
    if unknown := len(data.samples) - sum(sizes):
        lines.append(f"        {counted(unknown, 'image', form=',')} without a known one")
    leaking = data.leaking_groups()
    if not leaking:
        return [*lines, "        none on two sides of the split"]
    total = {side: sum(row.values()) for side, row in data.counts().items()}
    shares = ", ".join(f"{n:,} of {total[side]:,} in {side}" for side, n in data.leaks().items() if n)
    return [*lines, f"        LEAKAGE: {len(leaking):,} on two or more sides; of the images, {shares}"]


def next_training(data: "DataSet", target: Path) -> str:
    """Suggest the next command for a prepared data set: a training, planned for the data and the machine."""
    fold = f" --folds {len(data.folds)}" if data.folds else ""
    return f"next: hemf train --data {shlex.quote(str(target))}{fold}"
