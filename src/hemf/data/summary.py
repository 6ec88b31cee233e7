"""What a manifest says, for the terminal: counts, split, groups and whether any are on two sides."""

from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from hemf.data.manifest import DataSet


def counts_table(data: "DataSet") -> "Table":
    """Images by class and side of the split, with totals and shares."""
    from rich.markup import escape
    from rich.table import Table

    counts, total = data.counts(), len(data.samples)
    title = f"{escape(data.name)}: {total:,} images"
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column("class", "all classes")
    for side, row in counts.items():
        table.add_column(side or "no split", f"{sum(row.values()):,}", justify="right")
    table.add_column("all", f"{total:,}", justify="right")
    table.add_column("share", "100.0 %", justify="right")
    for name in data.classes:
        row = [counts[side][name] for side in counts]
        share = f"{sum(row) / total:.1%}".replace("%", " %")
        table.add_row(escape(name), *(f"{n:,}" for n in row), f"{sum(row):,}", share)
    return table


def split_line(data: "DataSet") -> str:
    """How the split was made."""
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
    """How many groups are known, and how many images of each side share theirs with another side.

    Args:
        data: the data set.
        word: what a group is, in the plural.
    """
    sizes = sorted(Counter(sample.group for sample in data.samples if sample.group).values())
    if not sizes:
        return [f"{word}: none known; images of one patient may be on two sides of the split"]
    reach = f"{sizes[0]} to {sizes[-1]}" if sizes[0] < sizes[-1] else sizes[0]
    lines = [f"{word}: {len(sizes):,} of {reach} images (median {median(sizes):g})"]
    if unknown := len(data.samples) - sum(sizes):
        lines.append(f"        {unknown:,} images without a known one")
    leaking = data.leaking_groups()
    if not leaking:
        return [*lines, "        none on two sides of the split"]
    total = {side: sum(row.values()) for side, row in data.counts().items()}
    shares = ", ".join(f"{n:,} of {total[side]:,} in {side}" for side, n in data.leaks().items() if n)
    return [*lines, f"        LEAKAGE: {len(leaking):,} on two or more sides; of the images, {shares}"]
