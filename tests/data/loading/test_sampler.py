"""Which images a process trains on: equal shares, nothing missed, the batches of one process dealt out."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hemf.data.loading.sampler import EpochSampler, mixed_seed


def test_seeds_of_neighbouring_keys_differ_in_about_half_their_bits():
    seeds = [mixed_seed(0, e, i) for e in range(30) for i in range(30)] + [
        mixed_seed(0, e) for e in range(30)
    ]
    assert len(set(seeds)) == len(seeds)
    apart = [(a ^ b).bit_count() for a, b in pairwise(seeds)]
    assert 30 < np.mean(apart) < 34
    assert min(apart) > 8


@given(size=st.integers(1, 60), replicas=st.integers(1, 5), batch=st.integers(1, 9), epoch=st.integers(0, 3))
def test_training_shares_are_equal_cover_all_and_leave_no_single_image(size, replicas, batch, epoch):
    samplers = [
        EpochSampler(size, 7, batch_size=batch, rank=r, num_replicas=replicas) for r in range(replicas)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    shares = [list(sampler) for sampler in samplers]
    assert all(
        len(share) == len(sampler) == len(samplers[0])
        for share, sampler in zip(shares, samplers, strict=True)
    )
    count = len(shares[0])
    assert count >= 1
    assert batch == 1 or count < batch or count % batch != 1
    assert {e for share in shares for e, _ in share} == {epoch}
    missed = set(range(size)) - {i for share in shares for _, i in share}
    assert len(missed) <= (replicas if count < -(-size // replicas) else 0)


@given(size=st.integers(0, 60), replicas=st.integers(1, 5))
def test_evaluation_shares_hold_every_image_once_in_order(size, replicas):
    shares = [
        [i for _, i in EpochSampler(size, shuffle=False, rank=r, num_replicas=replicas, pad=False)]
        for r in range(replicas)
    ]
    assert sorted(i for share in shares for i in share) == list(range(size))
    assert all(share == sorted(share) for share in shares)


@given(size=st.integers(1, 80), replicas=st.integers(2, 5), batch=st.integers(2, 9), epoch=st.integers(0, 3))
def test_processes_take_the_batches_of_one_in_turn(size, replicas, batch, epoch):
    def batches(rank, of):
        sampler = EpochSampler(size, 7, batch_size=batch, rank=rank, num_replicas=of)
        sampler.set_epoch(epoch)
        keys = list(sampler)
        return [keys[first : first + batch] for first in range(0, len(keys), batch)]

    alone = batches(0, 1)
    shares = [batches(rank, replicas) for rank in range(replicas)]
    whole = size // (batch * replicas)
    dealt = [share[step] for step in range(whole) for share in shares]
    assert dealt == alone[: whole * replicas]
