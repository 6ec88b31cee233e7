"""What can be said about an image without understanding it: properties of its file and its picture."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import numpy as np

from hemf.auditing.scan import Look
from hemf.data.dataset import DataSet, Sample
from hemf.data.metadata.column import MISSING, numbers_of
from hemf.data.sources.folder import split_name

BINS = 10
MOST_VALUES = 50  # of a property of words; the rarer ones count as one


Kind = Literal["file", "picture", "column"]


class Property(NamedTuple):
    """A property of every readable image, as whole numbers.

    Args:
        name: what it is called.
        kind: ``file`` for what shows no anatomy, ``picture`` for what may be part of the disease, ``column``
            for metadata, which a model does not see but may guess.
        codes: value of each image: its place among ``values``.
        values: words for the codes; of a number, its interval.
    """

    name: str
    kind: Kind
    codes: np.ndarray
    values: list[str]


NUMBERS: dict[str, tuple[Kind, Callable[[Look], float]]] = {
    "aspect (width / height)": ("file", lambda x: x.width / x.height),
    "bytes per pixel": ("file", lambda x: x.file_bytes / (x.width * x.height)),
    "frame (share of the area)": ("file", lambda x: x.frame),
    "brightness": ("picture", lambda x: x.brightness),
    "contrast": ("picture", lambda x: x.contrast),
    "colour": ("picture", lambda x: x.colour),
    "brightness of the border": ("picture", lambda x: x.border),
}


def properties(samples: Sequence[Sample], looks: Sequence[Look]) -> list[Property]:
    """Return all properties in which the images differ.

    The source of an image is told by its folder (less the folders that name its class or split) and by the
    pattern of its file name, in which every run of digits is one #.
    """
    words = {
        "format": [x.format for x in looks],
        "mode": [x.mode for x in looks],
        "folder": _folders(samples),
        "name of the file": [_pattern(s) for s in samples],
    }
    found = [_words(name, values) for name, values in words.items()]
    found.append(_number("size (pixels)", "file", [x.width * x.height for x in looks]))
    found += [_number(name, kind, list(map(of, looks))) for name, (kind, of) in NUMBERS.items()]
    return [p for p in found if len(p.values) > 1]


def of_columns(data: DataSet, samples: Sequence[Sample]) -> list[Property]:
    """Return the columns of metadata in which the images differ; no value is a value of its own."""
    found = []
    for column in data.columns:
        values = [s.metadata.get(column.name, "") for s in samples]
        if column.kind == "category":
            found.append(_words(column.name, [value or MISSING for value in values], "column"))
        elif column.quartiles:
            found.append(_number_or_none(column.name, numbers_of(values)))
    return [p for p in found if len(p.values) > 1]


def _number_or_none(name: str, numbers: np.ndarray) -> Property:
    """Return bins of the numbers, and after them one of those that are missing."""
    known = ~np.isnan(numbers)
    if not known.any():
        return Property(name, "column", np.zeros(len(numbers), int), [MISSING])
    binned = _number(name, "column", numbers[known].tolist())
    codes = np.full(len(numbers), len(binned.values))
    codes[known] = binned.codes
    return Property(name, "column", codes, binned.values + ([] if known.all() else [MISSING]))


def _words(name: str, values: list[str], kind: Kind = "file") -> Property:
    usual = [value for value, _ in Counter(values).most_common(MOST_VALUES)]
    place = {value: i for i, value in enumerate(usual)}
    codes = np.array([place.get(value, len(usual)) for value in values])
    return Property(name, kind, codes, usual + (["(rarer)"] if len(set(values)) > len(usual) else []))


def _number(name: str, kind: Kind, values: list[float]) -> Property:
    """Return ten bins of about as many images each; equal values are never parted."""
    numbers = np.round(np.asarray(values, float), 4)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1], method="higher"))
    _, codes = np.unique(np.searchsorted(edges, numbers, side="right"), return_inverse=True)
    bins = [numbers[codes == code] for code in range(codes.max() + 1)]
    return Property(name, kind, codes, [f"{b.min():.4g} to {b.max():.4g}" for b in bins])


def _folders(samples: Sequence[Sample]) -> list[str]:
    """Return the folder of each image, without the parts in which a word names any class or a split."""
    labels = {sample.label.casefold() for sample in samples}

    def tells(part: str) -> bool:
        part = part.casefold()
        words = {part, *re.split(r"[\W_]+", part)}
        return split_name(part) is not None or bool(labels & words)

    parents = [PurePosixPath(sample.path).parent.parts for sample in samples]
    return ["/".join(part for part in parts if not tells(part)) for parts in parents]


def _pattern(sample: Sample) -> str:
    return re.sub(r"\d+", "#", PurePosixPath(sample.path).stem)
