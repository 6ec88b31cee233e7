"""A column of metadata: numbers or categories, with what is missing counted."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np

Kind = Literal["number", "category"]
KINDS = get_args(Kind)
MISSING = "missing"
"""What stands for no value in tables."""
MOST_CODES = 5
"""Numbers of no more different values are codes of categories, such as grades."""
MOST_LISTED = 50
"""Categories that a description counts one by one."""


@dataclass(frozen=True)
class MetadataColumn:
    """What a column of the manifest holds.

    Args:
        name: its name.
        kind: ``number``, or ``category`` for any other text.
        missing: images without a value.
        different: number of different values.
        counts: of categories, the images of each value, the most frequent first; at most 50 values.
        quartiles: of numbers, least value, quartiles and greatest value; empty without any.
    """

    name: str
    kind: Kind
    missing: int
    different: int
    counts: dict[str, int] = field(default_factory=dict)
    quartiles: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Write it as it stands in ``dataset.json``; what does not apply is left out."""
        return {name: value for name, value in asdict(self).items() if value not in ({}, ())}


def describe(name: str, values: Sequence[str], kind: Kind | None = None) -> MetadataColumn:
    """Describe a column.

    Args:
        name: its name.
        values: one for each image, "" where there is none.
        kind: what it holds, where that is known; by default as ``kind_of`` tells.
    """
    kind = kind or kind_of(values)
    if kind == "number":
        numbers = numbers_of(values)
        known = numbers[~np.isnan(numbers)]
        quartiles = tuple(np.quantile(known, [0, 0.25, 0.5, 0.75, 1]).tolist()) if len(known) else ()
        missing = len(numbers) - len(known)
        return MetadataColumn(name, kind, missing, len(np.unique(known)), quartiles=quartiles)
    counts = Counter(filter(None, values))
    listed = dict(counts.most_common(MOST_LISTED))
    return MetadataColumn(name, kind, len(values) - counts.total(), len(counts), listed)


def kind_of(values: Sequence[str]) -> Kind:
    """Tell numbers, of which there are more than five different ones, from categories."""
    known = set(filter(None, values))
    return "number" if len(known) > MOST_CODES and not any(map(_is_no_number, known)) else "category"


def numbers_of(values: Sequence[str]) -> np.ndarray:
    """Return N numbers, NaN where a value is missing or is none."""
    return np.array([math.nan if _is_no_number(value) else float(value) for value in values])


def _is_no_number(text: str) -> bool:
    try:
        return "_" in text or not math.isfinite(float(text))
    except ValueError:
        return True
