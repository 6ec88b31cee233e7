"""Finds images that may show the same picture: exact copies by hash, near ones by Hamming distance."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import numpy as np

from hemf.data.image.hashes import MIDDLE, TILTS, TURNS, WINDOWS

TURN_LIMIT = 64  # of 256 bits: the whole image, in any of eight turns
WINDOW_LIMIT = 56  # a window of one image against another whole
SAME_WINDOW_LIMIT = 48  # the same window of both: what a ruler or a text elsewhere leaves
TILT_LIMIT = 56  # the middle of one image against that of another tilted by a few degrees
NEAREST = 30  # candidates of an image and a hash that are looked at, the nearest first
BLOCK = 256  # rows of a task
STRIP = 8  # rows at a time: what is worked on stays in the cache


class Comparison(NamedTuple):
    """Which hash of an image is held against which of another, that is ``turn``ed, and up to how many bits.

    Where the roles of the two images do not matter, it is done one way round.
    """

    one: int
    other: int
    turn: int
    limit: int
    one_way: bool


def _comparisons() -> list[Comparison]:
    """Return all: whole images in their turns, windows with a whole, windows with the same, and tilts."""
    windows = range(len(TURNS), len(TURNS) + len(WINDOWS))
    tilts = range(len(TURNS), len(TURNS) + len(TILTS))
    return [
        *(Comparison(0, turn, turn, TURN_LIMIT, True) for turn in range(len(TURNS))),
        *(Comparison(0, window, 0, WINDOW_LIMIT, False) for window in windows),
        *(Comparison(window, window, 0, SAME_WINDOW_LIMIT, True) for window in windows),
        *(Comparison(MIDDLE, len(WINDOWS) + tilt, tilt, TILT_LIMIT, True) for tilt in tilts),
    ]


class Candidate(NamedTuple):
    """Two images that may be one: ``second`` is to be turned by ``turn``, as ``turned`` takes it."""

    first: int
    second: int
    turn: int
    distance: int


COMPARISONS = _comparisons()


def exact_pairs(keys: Sequence[str | None], parts: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return the pairs of images with equal keys: each image with the first of every part.

    So a thousand copies of one image do not make half a million pairs, and yet every copy that has a twin in
    another part is in a pair that says so.

    Args:
        keys: hash of each image; None for one that has none.
        parts: what to tell apart, such as (side, class).
    """
    same: dict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        if key is not None:
            same[key].append(i)
    pairs = set()
    for members in same.values():
        firsts = {parts[i]: i for i in reversed(members)}
        pairs |= {tuple(sorted((i, j))) for i in members for j in firsts.values() if i != j}
    return sorted(pairs)


def near_candidates(hashes: np.ndarray, threads: int = 1) -> list[Candidate]:
    """Return the pairs of images whose hashes are close, best first for each pair of images and turn.

    Args:
        hashes: N x ``HASHES`` x 4 words of 64 bits.
        threads: that search at the same time.
    """
    if len(hashes) < 2:
        return []
    columns = np.ascontiguousarray(hashes.transpose(1, 2, 0))  # hash, word, image
    tasks = list(product(COMPARISONS, range(0, len(hashes), BLOCK)))
    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = list(pool.map(lambda task: _block(columns, *task), tasks))
    best: dict[tuple[int, int, int], int] = {}
    for (comparison, _), (firsts, seconds, distances) in zip(tasks, found, strict=True):
        for i, j, d in zip(firsts.tolist(), seconds.tolist(), distances.tolist(), strict=True):
            key = (min(i, j), max(i, j), comparison.turn)
            best[key] = min(best.get(key, d), d)
    return sorted(Candidate(*key, d) for key, d in best.items())


def _block(
    columns: np.ndarray, comparison: Comparison, start: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the images from ``start`` on that are close to another image by a comparison."""
    images = columns.shape[2]
    scratch = np.empty((STRIP, images), np.uint64), np.empty((STRIP, images), np.uint8)
    stop = min(start + BLOCK, images)
    strips = [
        _strip(columns, comparison, range(row, min(row + STRIP, stop)), *scratch)
        for row in range(start, stop, STRIP)
    ]
    firsts, seconds, distances = (np.concatenate(parts) for parts in zip(*strips, strict=True))
    return firsts, seconds, distances


def _strip(
    columns: np.ndarray, comparison: Comparison, rows: range, differ: np.ndarray, bits: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same for a few rows; ``differ`` and ``bits`` are overwritten."""
    ones, others = columns[comparison.one, :, rows.start : rows.stop], columns[comparison.other]
    distance = _distances(ones, others, differ, bits)
    close = distance <= comparison.limit
    for place, row in enumerate(rows):
        close[place, : row + 1 if comparison.one_way else 0] = False
        close[place, row] = False
    places, seconds = _nearest(close, distance)
    return places + rows.start, seconds, distance[places, seconds]


def near_between(ones: np.ndarray, others: np.ndarray) -> list[Candidate]:
    """Return the pairs of an image of one set and one of another whose hashes are close, the best first.

    Args:
        ones: N x ``HASHES`` x 4 words of 64 bits, as ``image_hashes``.
        others: M x (1 + windows) x 4 words, as ``upright_hashes``.

    Returns:
        ``first`` is a place in ``others``, ``second`` one in ``ones``, which is to be turned.
    """
    upright = {0: 0} | {len(TURNS) + window: 1 + window for window in range(len(WINDOWS))}
    tasks = [(c.other, upright[c.one], c.turn, c.limit) for c in COMPARISONS]
    tasks += [(0, upright[c.other], 0, c.limit) for c in COMPARISONS if not c.one_way]
    mine, theirs = (np.ascontiguousarray(hashes.transpose(1, 2, 0)) for hashes in (ones, others))
    scratch = np.empty((STRIP, len(others)), np.uint64), np.empty((STRIP, len(others)), np.uint8)
    best: dict[tuple[int, int, int], int] = {}
    for kind, window, turn, limit in tasks:
        for start in range(0, len(ones), STRIP):
            distance = _distances(mine[kind, :, start : start + STRIP], theirs[window], *scratch)
            places, found = _nearest(distance <= limit, distance)
            for i, j in zip(places.tolist(), found.tolist(), strict=True):
                key, d = (j, i + start, turn), int(distance[i, j])
                best[key] = min(best.get(key, d), d)
    return sorted((Candidate(*key, d) for key, d in best.items()), key=lambda c: (c.distance, c))


def _distances(rows: np.ndarray, others: np.ndarray, differ: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Bits in which each of a few hashes differs from each of many; ``differ`` and ``bits`` are overwritten.

    Args:
        rows: 4 words x R hashes, at most ``STRIP``.
        others: 4 words x M hashes.
        differ: ``STRIP`` x M.
        bits: ``STRIP`` x M.

    Returns:
        R x M.
    """
    differ, bits = differ[: rows.shape[1]], bits[: rows.shape[1]]
    distance = np.zeros(bits.shape, np.uint16)
    for whole, other in zip(rows, others, strict=True):
        np.bitwise_xor(whole[:, None], other, out=differ)
        distance += np.bitwise_count(differ, out=bits)
    return distance


def _nearest(close: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of what is close, of each row at most the ``NEAREST``; ``close`` is overwritten."""
    for place, row in enumerate(close):
        if np.count_nonzero(row) > NEAREST:
            near = np.flatnonzero(row)
            row[near[np.argsort(distance[place, near], kind="stable")[NEAREST:]]] = False
    rows, columns = np.nonzero(close)
    return rows, columns
