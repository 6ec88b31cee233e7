"""Patients or lesions on more than one side of the split, and groups whose images have several classes."""

from collections import Counter, defaultdict
from typing import Any

from hemf.data.dataset import DataSet


def straddling(data: DataSet) -> dict[str, Any]:
    """Return how many images of each side share their group with another side, by class, and which groups do.

    Returns:
        ``known`` groups, ``images_without`` one, number ``straddling``; for each of ``sides`` its ``images``,
        those ``leaking``, and the same ``by_class``; ``groups``: the images of each straddling group by side.
    """
    leaking = data.leaking_groups()
    images = Counter((s.side, s.label) for s in data.samples)
    shared = Counter((s.side, s.label) for s in data.samples if s.group in leaking)
    members: dict[str, dict[str, list[str]]] = {
        group: {side: [] for side in leaking[group]} for group in leaking
    }
    for s in data.samples:
        if s.group in leaking:
            members[s.group][s.side].append(s.path)
    sides = {}
    for side, counts in data.counts().items():
        by_class = {
            label: {"images": images[side, label], "leaking": shared[side, label]} for label in data.classes
        }
        sides[side] = {
            "images": sum(counts.values()),
            "leaking": sum(c["leaking"] for c in by_class.values()),
            "by_class": by_class,
        }
    return {
        "known": data.groups,
        "images_without": sum(not s.group for s in data.samples),
        "straddling": len(leaking),
        "sides": sides,
        "groups": [{"group": group, "sides": members[group]} for group in sorted(leaking)],
    }


def of_several_classes(data: DataSet) -> list[dict[str, Any]]:
    """Return groups whose images have different classes: right for some patients, an error for a lesion."""
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for s in data.samples:
        if s.group:
            classes[s.group][s.label] += 1
    return [
        {"group": group, "classes": dict(found)} for group, found in sorted(classes.items()) if len(found) > 1
    ]
