"""Everything the audit finds, as the dictionary that ``audit.json`` holds and page and terminal show."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from hemf.auditing import candidates, similarity
from hemf.auditing.duplicates import Pair
from hemf.auditing.leakage import of_several_classes, straddling
from hemf.auditing.outliers import odd_images, unreadable
from hemf.auditing.properties import Property, of_columns, properties
from hemf.auditing.scan import Look
from hemf.auditing.shortcuts import strength
from hemf.data.dataset import DataSet, Sample

SHOWN_VALUES = 12  # of a property, the most frequent ones
LIKELY, STRONG = 0.1, 0.3  # excess over chance
SURE = 0.01  # permutation p at most


def findings(data: DataSet, looks: Sequence[Look | str], pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return all findings, ready for JSON.

    Args:
        data: the data set.
        looks: looks of each sample, in the manifest's order.
        pairs: the duplicates found among them.
    """
    read = [(s, look) for s, look in zip(data.samples, looks, strict=True) if isinstance(look, Look)]
    samples, seen = [s for s, _ in read], [look for _, look in read]
    known = [*properties(samples, seen), *of_columns(data, samples)] if samples else []
    return {
        "hemf": version("hemf"),
        "data": {
            "name": data.name,
            "hash": data.hash,
            "images": len(data.samples),
            "readable": len(samples),
            "classes": data.classes,
            "split": data.info.get("split", {}),
        },
        "leakage": _leakage(data, pairs),
        "groups": straddling(data) | {"of_several_classes": of_several_classes(data)},
        "duplicates": _duplicates(pairs),
        "unreadable": unreadable(data.samples, looks),
        "odd": odd_images(data.samples, looks),
        "balance": _balance(data),
        "shortcuts": _tellers(known, samples, [s.label for s in samples], data.classes),
        "shift": _shift(data, known, samples),
    }


def _leakage(data: DataSet, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Say whether anything is on two sides, and how many images of each side that touches."""
    leaking = data.leaking_groups()
    touched = {s.path for s in data.samples if s.group in leaking}
    across = [p for p in pairs if p.across]
    touched |= {s.path for p in across for s in (p.first, p.second)}
    images = Counter(s.side for s in data.samples if s.path in touched)
    return {
        "found": bool(touched),
        "straddling_groups": len(leaking),
        "pairs_across_sides": len(across),
        "images": {side: images[side] for side in data.counts()},
    }


def _duplicates(pairs: Sequence[Pair]) -> dict[str, Any]:
    kinds = Counter(p.kind for p in pairs)
    return {
        "bytes": kinds["bytes"],
        "pixels": kinds["pixels"],
        "near": kinds["near"],
        "across_sides": sum(p.across for p in pairs),
        "different_labels": sum(p.conflict for p in pairs),
        "different_groups": sum(p.parted for p in pairs),
        "settings": {
            "hash": "pHash, 256 bits",
            "most_bits": candidates.TURN_LIMIT,
            "most_bits_of_a_window": candidates.WINDOW_LIMIT,
            "least_similarity": similarity.SAME,
        },
        "pairs": [p.to_json() for p in pairs],
    }


def _balance(data: DataSet) -> dict[str, Any]:
    total = Counter(s.label for s in data.samples)
    numbers = [total[label] for label in data.classes]
    return {"counts": data.counts(), "largest_over_smallest": round(max(numbers) / max(1, min(numbers)), 2)}


def _shift(data: DataSet, known: Sequence[Property], samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return how well class and properties tell the side of the split; nothing without a split."""
    sides = list(data.counts())
    if len(sides) < 2 or not samples:
        return []
    labels = np.array([data.classes.index(s.label) for s in samples])
    of_class = Property("class", "picture", labels, data.classes)
    return _tellers([of_class, *known], samples, [s.side for s in samples], sides)


def _tellers(
    known: Sequence[Property], samples: Sequence[Sample], words: Sequence[str], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return how well each property tells the target (class or side), the best first."""
    targets = np.array([names.index(word) for word in words])
    if len(set(words)) < 2:
        return []
    groups = [s.group for s in samples]
    found = []
    for one in known:
        told = strength(one.codes, targets, groups)
        sure = told.p <= SURE
        level = (
            "strong" if sure and told.excess >= STRONG else "some" if sure and told.excess >= LIKELY else ""
        )
        counts = _counts(one, targets, names)
        found.append(
            {"property": one.name, "kind": one.kind, "level": level, **told.to_json(), "values": counts}
        )
    return sorted(found, key=lambda row: -row["excess"])


def _counts(one: Property, targets: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the images of each value by target: of words the most frequent ones, of intervals in order."""
    images = np.bincount(one.codes, minlength=len(one.values))
    shown = sorted(np.argsort(-images, kind="stable")[:SHOWN_VALUES].tolist())
    return [
        {
            "value": one.values[code],
            "images": {
                name: int(n)
                for name, n in zip(
                    names, np.bincount(targets[one.codes == code], minlength=len(names)), strict=True
                )
            },
        }
        for code in shown
    ]
