"""Summarises a manifest for the terminal: counts, split, groups and whether any are on two sides."""

import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from hemf.core.tables import Column, Table
from hemf.core.text import counted, printable
from hemf.data.checks.gaps import gaps
from hemf.data.checks.slips import likely_slips

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet


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
        group, unused = columns.get("group"), ", ".join(_texts(columns.get("unused")))
        used = f"groups: column {group}" if group else "no column names groups"
        yield f"rows read: {rows:,}; {used}; columns not used: {unused or 'none'}"


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
