"""Pairs by hash: exact ones by part, near ones as brute force finds them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hemf.auditing import candidates
from hemf.data.image.hashes import HASHES, TURNS


def test_exact_pairs_tell_of_every_copy_that_has_a_twin_elsewhere():
    keys = ["a", "b", "a", None, "a", None, "a"]
    parts = ["train", "train", "test", "train", "train", "test", "test"]
    pairs = candidates.exact_pairs(keys, parts)
    assert pairs == [(0, 2), (0, 4), (0, 6), (2, 4), (2, 6)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["train", "test"])), max_size=30))
def test_exact_pairs_leave_no_leak_out_and_stay_few(images):
    keys, parts = [k for k, _ in images], [p for _, p in images]
    pairs = candidates.exact_pairs(keys, parts)
    assert all(keys[i] == keys[j] and i < j for i, j in pairs)
    assert len(pairs) <= 2 * len(images)
    across = {i for pair in pairs if parts[pair[0]] != parts[pair[1]] for i in pair}
    n = range(len(images))
    assert across == {i for i in n if any(keys[i] == keys[j] and parts[i] != parts[j] for j in n)}


def test_near_candidates_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, (70, HASHES, 4), dtype=np.uint64)
    for first, second, kind, bits in (
        (3, 50, 0, 64),
        (7, 9, 4, 30),
        (60, 8, 12, 56),
        (11, 12, 1, 65),
        (1, 2, 17, 57),
    ):
        flipped = np.unpackbits(hashes[first, 0].view(np.uint8))
        flipped[rng.choice(256, bits, replace=False)] ^= 1
        hashes[second, kind] = np.packbits(flipped).view(np.uint64)
    found = candidates.near_candidates(hashes, threads=2)
    expected = set()
    bits = np.unpackbits(hashes.view(np.uint8), axis=-1).astype(int)
    for i in range(70):
        for j in range(70):
            for kind in range(HASHES):
                distance = int((bits[i, 0] != bits[j, kind]).sum())
                turned = kind < len(TURNS)
                if (i < j if turned else i != j) and distance <= (64 if turned else 56):
                    expected.add((min(i, j), max(i, j), kind if turned else 0, distance))
    assert set(found) == expected
    assert {(c.first, c.second) for c in found} == {(3, 50), (7, 9), (8, 60)}


def test_only_the_nearest_of_very_many_candidates_are_kept():
    hashes = np.zeros((100, HASHES, 4), np.uint64)
    found = candidates.near_candidates(hashes)
    assert len(found) <= 100 * HASHES * candidates.NEAREST
    assert candidates.near_candidates(hashes[:1]) == []
