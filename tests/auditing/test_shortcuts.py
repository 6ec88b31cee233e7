"""How well a property tells the class: against scikit-learn's balanced accuracy, and against chance."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from hemf.auditing.shortcuts import strength


def test_the_best_rule_by_hand_and_by_scikit_learn():
    codes = np.array([0] * 50 + [1] * 50 + [0] * 2 + [1] * 8)
    targets = np.array([0] * 100 + [1] * 10)
    told = strength(codes, targets)
    best = max(
        balanced_accuracy_score(targets, rule[codes]) for rule in np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    )
    assert told.balanced_accuracy == pytest.approx(best) == pytest.approx((50 / 100 + 8 / 10) / 2)


def test_a_property_that_says_it_all_and_one_that_says_nothing():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 600)
    everything = strength(targets, targets)
    assert everything.balanced_accuracy == 1
    assert everything.excess == 1
    assert everything.p == pytest.approx(1 / 201)
    nothing = strength(rng.integers(0, 10, 600), targets)
    assert abs(nothing.excess) < 0.06
    assert nothing.p > 0.02


def test_p_is_uniform_when_nothing_is_told():
    rng = np.random.default_rng(1)
    ps = [strength(rng.integers(0, 5, 120), rng.integers(0, 2, 120), seed=i).p for i in range(50)]
    assert 0.35 < np.mean(ps) < 0.65
    assert np.mean(np.array(ps) <= 0.1) < 0.25


def test_images_of_one_patient_are_permuted_together():
    """20 patients of 30 equal images each: by image that looks sure, by patient it is mere chance."""
    targets = np.array([0, 1] * 10).repeat(30)
    codes = np.array([0, 1] * 7 + [1, 0] * 3).repeat(30)  # right for 14 patients of 20
    groups = [f"p{i}" for i in range(20) for _ in range(30)]
    alone, together = strength(codes, targets), strength(codes, targets, groups)
    assert alone.balanced_accuracy == together.balanced_accuracy == pytest.approx(0.7)
    assert together.chance > alone.chance
    assert together.p > 0.05 > alone.p
