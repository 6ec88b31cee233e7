"""The audit in the terminal: what leaks first, then the rest, a line each."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.core.tables import Column, Table
from hemf.core.text import counted, p_text, printable

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet

FEW = 5


def show(data: "DataSet", found: dict[str, Any], folder: Path) -> None:
    """Print the summary."""
    from rich.console import Console

    from hemf.data.summary import split_line

    console = Console(highlight=False, soft_wrap=True)
    say = lambda text, style=None: console.print(printable(text), style=style, markup=False)  # noqa: E731
    about = found["data"]
    say(
        f"{about['name']}: {counted(about['images'], 'image', form=',')}, {about['readable']:,} readable; "
        f"{split_line(data)}"
    )
    leaks = found["leakage"]["found"]
    say(verdict(found), style="bold red" if leaks else "bold green")
    if found["groups"]["straddling"]:
        console.print(_group_table(found["groups"]))
    for line in _lines(found):
        say(line)
    for title, rows in (
        ("tells the class", found["shortcuts"]),
        ("tells the side of the split", found["shift"]),
    ):
        if any(row["level"] for row in rows):
            console.print(_teller_table(title, rows))
    say(f"side by side: {folder / 'audit.html'}; in full: {folder / 'audit.json'}")


def verdict(found: dict[str, Any]) -> str:
    """Return whether anything leaks, and how many images of each side that touches."""
    leakage, sides = found["leakage"], found["groups"]["sides"]
    if len(sides) < 2:
        return "no split, so nothing can leak"
    if not leakage["found"]:
        known, without = found["groups"]["known"], found["groups"]["images_without"]
        unknown = "" if known else " (patients or lesions are unknown)"
        if known and without:
            unknown = f" ({counted(without, 'image', form=',')} name no patient or lesion)"
        return f"no leakage found between the sides of the split{unknown}"
    shares = ", ".join(
        f"{n:,} of {sides[side]['images']:,} in {side}" for side, n in leakage["images"].items() if n
    )
    groups, pairs = leakage["straddling_groups"], leakage["pairs_across_sides"]
    return (
        f"LEAKAGE: {counted(groups, 'group', form=',')} and {counted(pairs, 'pair', form=',')} of like "
        f"pictures are on two sides; images concerned: {shares}"
    )


def _lines(found: dict[str, Any]) -> Iterator[str]:
    twice = found["duplicates"]
    yield (
        f"duplicates: {counted(twice['bytes'], 'pair', form=',')} of equal files, {twice['pixels']:,} of "
        f"equal pixels, {twice['near']:,} of nearly equal pictures"
    )
    for what, words in (
        ("different_labels", "have different classes"),
        ("different_groups", "are said to show different patients or lesions"),
    ):
        if twice[what]:
            yield f"  {twice[what]:,} of these pairs {words}"
            chosen = [pair for pair in twice["pairs"] if pair[what]]
            yield from (f"    {_pair(pair)}" for pair in chosen[:FEW])
            yield from _more(chosen, "    ")
    several = found["groups"]["of_several_classes"]
    if several:
        yield f"groups: {len(several):,} have images of several classes"
    if labels := found.get("labels"):
        yield _label_line(labels)
        yield from (f"  {_wrong(one)}" for one in labels["likely_wrong"][:FEW])
        yield from _more(labels["likely_wrong"], "  ")
    yield f"unreadable: {len(found['unreadable']):,}"
    yield from (f"  {one['reason']}" for one in found["unreadable"])
    yield f"odd: {len(found['odd']):,}"
    yield from (f"  {one['path']}: {'; '.join(one['why'])}" for one in found["odd"][:FEW])
    yield from _more(found["odd"], "  ")
    times = found["balance"]["largest_over_smallest"]
    yield f"classes: the largest has {times:g} times the images of the smallest"


def _more(rows: list, indent: str) -> Iterator[str]:
    if len(rows) > FEW:
        yield f"{indent}and {len(rows) - FEW:,} more"


def _pair(pair: dict[str, Any]) -> str:
    words = " = ".join(f"{one['path']} ({one['label']})" for one in pair["images"])
    return f"{words}, {pair['turn']}, similarity {pair['similarity']:.2f}"


def _label_line(found: dict[str, Any]) -> str:
    """Say how many labels are likely wrong."""
    return (
        f"labels: {len(found['likely_wrong']):,} of {counted(found['judged'], 'image', form=',')} are likely "
        f"wrong, by {found['predictions']}"
    )


def _wrong(one: dict[str, Any]) -> str:
    return (
        f"{one['path']}: {one['label']} ({one['confidence']:.2f}), perhaps {one['suggested']} "
        f"({one['suggested_confidence']:.2f})"
    )


def _group_table(groups: dict[str, Any]) -> Table:
    sides = groups["sides"]
    columns = [Column("class", "class"), *(Column(f"side {side}", side) for side in sides)]
    rows = [
        {"class": name} | {f"side {side}": share(row["by_class"][name]) for side, row in sides.items()}
        for name in next(iter(sides.values()))["by_class"]
    ]
    all_classes = {"class": "all classes"} | {f"side {side}": share(row) for side, row in sides.items()}
    title = "images whose group is also on another side"
    return Table(title, columns, [*rows, all_classes], last_apart=True)


def share(row: dict[str, int]) -> str:
    """Return ``leaking`` of ``images``, and the percentage."""
    if not row["images"]:
        return "–"
    return f"{row['leaking']:,} of {row['images']:,} ({row['leaking'] / row['images']:.1%})".replace(
        "%", " %"
    )


def _teller_table(title: str, rows: list[dict[str, Any]]) -> Table:
    columns = [Column("property", "property"), Column("kind", "of the")]
    columns += [Column("balanced_accuracy", "balanced accuracy", ".3f")]
    columns += [Column("chance", "by chance", ".3f"), Column("p", "p")]
    told = [
        row | {"p": p_text(row["p"]), "bold": row["level"] == "strong" and row["kind"] != "picture"}
        for row in rows
        if row["level"]
    ]
    return Table(f"what {title} by itself", columns, told, bold="bold")
