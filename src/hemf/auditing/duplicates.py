"""Pairs of images that show the same picture, and what is wrong with each pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hemf.auditing.candidates import exact_pairs, near_candidates
from hemf.auditing.scan import Look, Workers
from hemf.auditing.similarity import least, similarity
from hemf.data.dataset import Sample
from hemf.data.image.hashes import TURN_NAMES

Kind = Literal["bytes", "pixels", "near"]


@dataclass(frozen=True)
class Pair:
    """Two images that show the same picture.

    Args:
        first: one of them.
        second: the other.
        kind: equal files, equal pixels in different files, or nearly equal pictures.
        turn: how the second has to be turned to look like the first.
        similarity: correlation of their fine detail; 1 for exact copies.
        distance: bits of the perceptual hash that differ, of 256.
    """

    first: Sample
    second: Sample
    kind: Kind
    turn: str = TURN_NAMES[0]
    similarity: float = 1.0
    distance: int = 0

    @property
    def across(self) -> bool:
        """Whether they are on two sides of the split."""
        return self.first.side != self.second.side

    @property
    def conflict(self) -> bool:
        """Whether they have different classes."""
        return self.first.label != self.second.label

    @property
    def parted(self) -> bool:
        """Whether they are said to show different patients or lesions."""
        return bool(self.first.group and self.second.group and self.first.group != self.second.group)

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``audit.json``."""
        images = [
            {"path": s.path, "label": s.label, "group": s.group, "side": s.side}
            for s in (self.first, self.second)
        ]
        return {
            "images": images,
            "kind": self.kind,
            "turn": self.turn,
            "similarity": self.similarity,
            "distance": self.distance,
            "across_sides": self.across,
            "different_labels": self.conflict,
            "different_groups": self.parted,
        }


def find_pairs(samples: Sequence[Sample], looks: Sequence[Look | str], workers: Workers) -> list[Pair]:
    """Return all duplicates found, those across sides first, then different classes, then the most alike."""
    readable = [(s, look) for s, look in zip(samples, looks, strict=True) if isinstance(look, Look)]
    samples, seen = [s for s, _ in readable], [look for _, look in readable]
    parts = [(s.side, s.label) for s in samples]
    same_bytes = set(exact_pairs([look.bytes_hash for look in seen], parts))
    same_pixels = set(exact_pairs([look.pixels_hash for look in seen], parts)) - same_bytes
    pairs = [Pair(samples[i], samples[j], "bytes") for i, j in same_bytes]
    pairs += [Pair(samples[i], samples[j], "pixels") for i, j in same_pixels]
    pairs += _near_pairs(samples, seen, workers)
    return sorted(
        pairs, key=lambda p: (not p.across, not p.conflict, -p.similarity, p.distance, p.first.path)
    )


def _near_pairs(samples: Sequence[Sample], looks: Sequence[Look], workers: Workers) -> list[Pair]:
    """Pairs that are close by hash and whose detail agrees, each in the turn in which it agrees best."""
    if not looks:
        return []
    candidates = near_candidates(np.stack([look.hashes for look in looks]), workers.number)
    candidates = [c for c in candidates if looks[c.first].pixels_hash != looks[c.second].pixels_hash]
    pairs = [(looks[c.first].thumbnail, looks[c.second].thumbnail, c.turn) for c in candidates]
    scores = workers.map(similarity, pairs, "comparing pairs")
    best: dict[tuple[int, int], Pair] = {}
    for c, score in zip(candidates, scores, strict=True):
        key, turn = (c.first, c.second), TURN_NAMES[c.turn]
        if score >= least(c.turn) and (key not in best or score > best[key].similarity):
            best[key] = Pair(samples[c.first], samples[c.second], "near", turn, score, c.distance)
    return list(best.values())


@dataclass(frozen=True)
class Scene:
    """Images that show one scene: alike in pairs, over any number of steps.

    Args:
        images: of each its ``path``, ``label``, ``group`` and ``side``.
        pairs: the pairs that join them.
    """

    images: list[dict[str, str]]
    pairs: list[dict[str, Any]]

    def differ(self, what: str) -> bool:
        """Return whether they have several labels, groups or sides."""
        return len({one[what] for one in self.images if one[what] or what != "group"}) > 1


def scenes_of(pairs: Sequence[dict[str, Any]]) -> list[Scene]:
    """Return the scenes that pairs make up, in the order of their first pairs."""
    images: dict[str, dict[str, str]] = {}
    scene_of: dict[str, list[str]] = {}
    for pair in pairs:
        for one in pair["images"]:
            images[one["path"]] = one
            scene_of.setdefault(one["path"], [one["path"]])
        first, second = (scene_of[one["path"]] for one in pair["images"])
        if first is not second:
            first += second
            scene_of.update(dict.fromkeys(second, first))
    joined: dict[int, list[dict[str, Any]]] = {}
    for pair in pairs:
        joined.setdefault(id(scene_of[pair["images"][0]["path"]]), []).append(pair)
    return [
        Scene([images[path] for path in scene_of[of[0]["images"][0]["path"]]], of) for of in joined.values()
    ]
