"""Finds sides of a split that lack images, or images of a class, and says why and what to do."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hemf.core.text import counted

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet

NAMED = 5  # classes


def gaps(data: "DataSet") -> list[str]:
    """List, in a line each, the sides that have no images, or none of some classes."""
    return [*_empty_sides(data), *_lacking_classes(data)]


def all_in_training(data: "DataSet") -> str:
    """Say why a split by shares leaves nothing to validate or test on, and the remedy; else empty."""
    made = _shares(data)
    if {s.split for s in data.samples} == {"train"} and {side for side in made if side != "train"}:
        return next(_empty_sides(data))
    return ""


def _shares(data: "DataSet") -> list[str]:
    """Return the sides that were to have images, of a split that hemf made by shares."""
    ratios = data.info.get("split", {}).get("ratios")
    return [side for side, share in ratios.items() if share] if isinstance(ratios, dict) else []


def _empty_sides(data: "DataSet") -> Iterator[str]:
    have = {s.split for s in data.samples}
    if empty := [side for side in _shares(data) if side not in have]:
        yield f"no image of {data.name} is left for {' and '.join(empty)}: {_why(data)}"
    elif "train" in have and "val" not in have and not _shares(data):
        yield (
            f"{data.name} has no images to validate on; hemf data prepare --val 0.1 takes some out of "
            "training, or hemf train --val-split none goes without"
        )


def _why(data: "DataSet") -> str:
    sizes = Counter(s.group or f"\0{s.path}" for s in data.samples)
    about = data.info.get("split", {})
    if about.get("method") == "grouped" and len(sizes) == 1:
        return (
            f"all {len(data.samples)} show one patient or the like ({next(iter(sizes))!r}); if they do not, "
            "prepare them with --split stratified (or a CSV with --group-column none)"
        )
    if about.get("method") == "grouped" and len(sizes) < 3 * len(data.classes):
        return (
            f"{counted(len(sizes), 'patient')} or the like are too few to part; add some, or prepare with "
            "--split grouped-kfold, which tests on each in turn"
        )
    of_class = Counter(s.label for s in data.samples).values()
    return (
        f"its {counted(len(data.classes), 'class', 'classes')} have {min(of_class)} to "
        f"{counted(max(of_class), 'image')}, too few to part; "
        "add images, put classes together, or give greater shares to --val and --test"
    )


def _lacking_classes(data: "DataSet") -> Iterator[str]:
    for side, counts in data.counts().items():
        lacking = [name for name, n in counts.items() if n == 0]
        if side and lacking:
            names = ", ".join(lacking[:NAMED]) + (" ..." if len(lacking) > NAMED else "")
            yield (
                f"no {side} images of {len(lacking)} of the {counted(len(counts), 'class', 'classes')} "
                f"({names}); nothing can be said of them there: add images, or put classes together"
            )
