"""What is said of features: known ranks and spreads, and neighbours that are never the same patient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hemf.pretraining.health import (
    accuracies,
    effective_rank,
    is_collapsed,
    neighbours_votes,
    similarities,
    spread,
)


@given(st.integers(1, 8), st.integers(0, 5))
def test_features_of_equal_singular_values_have_their_rank(rank: int, seed: int):
    torch.manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(30, rank)).Q
    directions = torch.linalg.qr(torch.randn(12, rank)).Q
    assert effective_rank(basis @ directions.T) == pytest.approx(rank, rel=1e-3)


def test_the_rank_is_that_of_the_paper():
    values = torch.tensor([4.0, 2.0, 1.0])
    shares = values / 7 + 1e-7
    assert effective_rank(torch.diag(values)) == pytest.approx(
        float(torch.exp(-(shares * shares.log()).sum())), rel=1e-6
    )


def test_spread_is_one_on_the_sphere_and_nothing_in_a_point():
    torch.manual_seed(0)
    assert spread(torch.randn(4000, 64)) == pytest.approx(1, abs=0.02)
    point = torch.randn(1, 64).expand(50, -1)
    assert spread(point + 1e-5 * torch.randn(50, 64)) < 1e-4
    assert is_collapsed(effective_rank(point), spread(point))
    spread_out = torch.randn(50, 64)
    assert not is_collapsed(effective_rank(spread_out), spread(spread_out))


def test_neighbours_of_the_same_patient_have_no_vote():
    torch.manual_seed(0)
    bank = torch.randn(60, 8)
    labels = torch.arange(60) % 3
    groups = [f"p{i % 20}" for i in range(60)]
    queries, asked = bank[:20].clone(), groups[:20]
    own = similarities(queries, bank, asked, groups)
    assert all(own[i, i] == -torch.inf and own[i, i + 20] == -torch.inf for i in range(20))
    assert (own == -torch.inf).sum() == 60
    unknown = similarities(queries, bank, [""] * 20, [""] * 60)
    assert unknown.argmax(1).tolist() == list(range(20))  # each its own nearest
    votes = neighbours_votes(own, labels, 3)
    for i in range(20):
        near = own[i].topk(20)
        weights = torch.zeros(3)
        for value, place in zip(near.values, near.indices, strict=True):
            weights[labels[place]] += torch.exp(value / 0.07)
        assert torch.allclose(votes[i].float(), weights, rtol=1e-4)


def test_balanced_accuracy_is_over_the_classes_that_occur():
    votes, labels = torch.eye(3)[[0, 0, 0, 2]], torch.tensor([0, 0, 2, 2])
    even = torch.tensor([5, 5, 5])
    assert accuracies(votes, labels, even) == (0.75, 0.75)
    assert accuracies(torch.eye(3)[[0, 0, 0, 0]], torch.tensor([0, 0, 0, 2]), even) == (0.75, 0.5)


def test_a_large_class_does_not_outvote_a_small_one_in_balanced_accuracy():
    votes, labels = torch.tensor([[9.0, 1.0], [9.0, 3.0]]), torch.tensor([0, 1])
    assert accuracies(votes, labels, torch.tensor([10, 10])) == (0.5, 0.5)
    assert accuracies(votes, labels, torch.tensor([90, 25])) == (0.5, 1.0)
