"""Parts of the images by the values of a column: categories, bins of numbers, and what is missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hemf.core.errors import HemfError
from hemf.data.metadata.column import MISSING, Kind, kind_of, numbers_of

QUARTERS = (0.25, 0.5, 0.75)
MOST_GROUPS = 50


@dataclass(frozen=True)
class Cut:
    """A column to go by.

    Args:
        column: its name.
        edges: where the bins of its numbers begin, but for the first, ascending; empty for quarters.
    """

    column: str
    edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class Subgroup:
    """The images that share a value of a column.

    Args:
        column: name of the column.
        value: the value in words; ``missing`` for none.
        images: N booleans.
    """

    column: str
    value: str
    images: np.ndarray


def read_cuts(by: str) -> tuple[Cut, ...]:
    """Read columns as they are asked for: ``sex,age=40/60,site``.

    Raises:
        HemfError: no column, one twice, or edges that are no ascending numbers.
    """
    cuts = [_read_cut(one.strip()) for one in by.split(",") if one.strip()]
    if not cuts:
        raise HemfError("--by names no column; give one or several, such as sex,age=40/60")
    if twice := [name for name, n in Counter(cut.column for cut in cuts).items() if n > 1]:
        raise HemfError(f"--by names {twice[0]!r} twice; keep one")
    return tuple(cuts)


def _read_cut(words: str) -> Cut:
    column, is_cut, edges = words.partition("=")
    if not is_cut:
        return Cut(column)
    try:
        numbers = tuple(float(edge) for edge in edges.split("/"))
    except ValueError:
        numbers = ()
    ascending = all(low < high for low, high in pairwise(numbers))
    if not numbers or not ascending or not np.isfinite(numbers).all():
        raise HemfError(f"--by {words}: {edges!r} are no ascending numbers; give such as {column}=40/60")
    return Cut(column.strip(), numbers)


def check_cuts(cuts: Sequence[Cut], columns: Mapping[str, Sequence[str]], where: str) -> None:
    """Refuse columns that the images do not have.

    Args:
        cuts: columns to go by.
        columns: values of each column that there is.
        where: what the images are called.

    Raises:
        HemfError: one is not there.
    """
    for cut in cuts:
        if cut.column not in columns:
            have = f"it has {', '.join(columns)}" if columns else "its manifest has none"
            raise HemfError(
                f"{where} has no column {cut.column!r} for --by; {have}. Prepare it again from a CSV or a "
                "release with that column, and give it as --data"
            )


def subgroups_of(cut: Cut, values: Sequence[str], kind: Kind | None = None) -> list[Subgroup]:
    """Divide N images by a column: numbers ascending, categories by size, and last those without a value.

    Args:
        cut: the column, and where its bins begin.
        values: the column's value of each image, "" where it is missing.
        kind: what the column holds; by default as its values tell.

    Raises:
        HemfError: edges for a column of categories, or more than 50 groups.
    """
    kind = kind or kind_of(values)
    if cut.edges and kind != "number" and np.isnan(numbers_of(values))[[bool(v) for v in values]].any():
        raise HemfError(
            f"column {cut.column!r} holds categories, which have no edges; leave out ={_words(cut)}"
        )
    of_numbers = kind == "number" or cut.edges
    parts = _bins(cut, values) if of_numbers else _categories(values)
    missing = np.array([not value for value in values])
    if of_numbers:
        missing = np.isnan(numbers_of(values))
    if missing.any():
        parts[MISSING] = missing
    if len(parts) > MOST_GROUPS:
        raise HemfError(
            f"column {cut.column!r} has {len(parts)} different values, and subgroups of so few images tell "
            "nothing; join values in the manifest"
        )
    return [Subgroup(cut.column, value, images) for value, images in parts.items()]


def _words(cut: Cut) -> str:
    return "/".join(f"{edge:g}" for edge in cut.edges)


def _categories(values: Sequence[str]) -> dict[str, np.ndarray]:
    array = np.array(values)
    return {value: array == value for value, _ in Counter(filter(None, values)).most_common()}


def _bins(cut: Cut, values: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the bins that have images, each named by the values in it, or by the edges that were given."""
    numbers = numbers_of(values)
    known = numbers[~np.isnan(numbers)]
    edges = cut.edges or tuple(
        np.unique(np.quantile(known, QUARTERS, method="higher")).tolist() if len(known) else ()
    )
    bins = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))
    parts = {}
    for i in range(len(edges) + 1):
        here = bins == i
        if here.any():
            name = _between(edges, i) if cut.edges else _from_to(numbers[here])
            parts[name] = here
    return parts


def _between(edges: Sequence[float], i: int) -> str:
    if i == 0:
        return f"below {edges[0]:g}"
    return f"{edges[i - 1]:g} and above" if i == len(edges) else f"{edges[i - 1]:g} to below {edges[i]:g}"


def _from_to(numbers: np.ndarray) -> str:
    low, high = f"{numbers.min():.4g}", f"{numbers.max():.4g}"
    return low if low == high else f"{low} to {high}"
