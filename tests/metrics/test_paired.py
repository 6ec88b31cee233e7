"""The paired bootstrap's difference of two models: margins, and models of several seeds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hemf.metrics.bootstrap import Draws, resample, units_of
from hemf.metrics.comparison.paired import SIDES, Measured, difference, with_seeds

UNITS = units_of(np.zeros(200, dtype=int))
WEIGHTS = np.concatenate(list(resample(UNITS, Draws(4000))), axis=1)


def shares(*columns: np.ndarray) -> Measured:
    """The share of hits of each seed, and their mean on the resamples."""
    return Measured([float(c.mean()) for c in columns], np.mean([c @ WEIGHTS / 200 for c in columns], axis=0))


def hits(share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(200) < share


def test_margins_are_two_one_sided_tests():
    """Against the t-tests of the paired differences, by SciPy."""
    first, second = hits(0.8, 0), hits(0.78, 1)
    found = difference(shares(first), shares(second), UNITS, None, "accuracy", margin=0.1)
    apart = first.astype(float) - second
    worse = stats.ttest_1samp(apart, -0.1, alternative="greater").pvalue
    better = stats.ttest_1samp(apart, 0.1, alternative="less").pvalue
    expected = dict(zip(SIDES, (worse, better, max(worse, better)), strict=True))
    for side, p in expected.items():
        assert found[side]["p"] == pytest.approx(p, abs=0.02), side
    assert found["p"] == pytest.approx(stats.ttest_1samp(apart, 0).pvalue, abs=0.03)


def test_where_less_is_better_the_sides_change():
    first, second = shares(hits(0.8, 0)), shares(hits(0.5, 1))
    of_accuracy, of_loss = (
        difference(first, second, UNITS, None, name, margin=0.05) for name in ("accuracy", "log_loss")
    )
    assert of_accuracy["first_not_worse"]["p"] == of_loss["second_not_worse"]["p"] < 0.01
    assert of_accuracy["second_not_worse"]["p"] == of_loss["first_not_worse"]["p"] > 0.9
    assert of_accuracy["equivalent"] == of_loss["equivalent"]


@given(st.floats(0.01, 0.5), st.integers(0, 30))
def test_a_wider_margin_is_easier_and_p_agrees_with_the_interval(margin, seed):
    first, second = shares(hits(0.7, seed)), shares(hits(0.7, seed + 100))
    near, far = (difference(first, second, UNITS, None, "f1", margin=m) for m in (margin, margin + 0.1))
    assert all(far[side]["p"] <= near[side]["p"] for side in SIDES)
    low, high = near["ci95"]
    if not min(abs(low + margin), abs(high - margin)) < 0.005:  # of a step of the resamples
        assert (near["first_not_worse"]["p"] < 0.025) == (low > -margin)
        assert (near["second_not_worse"]["p"] < 0.025) == (high < margin)


def test_several_seeds_add_the_variance_of_their_mean():
    rng = np.random.default_rng(0)
    first = [rng.random(200) < share for share in (0.7, 0.8, 0.9)]
    second = [rng.random(200) < 0.75]
    a, b = shares(*first), shares(*second)
    found = difference(a, b, UNITS, None, "accuracy")
    of_seeds = np.var([one.mean() for one in first], ddof=1) / 3
    of_images = np.var(np.mean(first, axis=0) - second[0], ddof=1) / 200
    error = np.sqrt(of_seeds + of_images)
    freedom = (of_seeds + of_images) ** 2 / (of_seeds**2 / 2 + of_images**2 / 199)
    assert found["difference"] == pytest.approx(np.mean(first) - np.mean(second))
    half = stats.t.ppf(0.975, freedom) * error
    assert found["ci95"] == pytest.approx([found["difference"] - half, found["difference"] + half], abs=0.01)
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(found["difference"]) / error, freedom), abs=0.01)
    alone = with_seeds({"n": 200}, a, UNITS, None)
    assert (alone["value"], alone["seeds"]) == (pytest.approx(0.8, abs=0.05), 3)
    assert alone["sd_of_seeds"] == pytest.approx(np.sqrt(3 * of_seeds))
    assert alone["ci95"][1] - alone["value"] > half / 2


def test_protocols_that_are_alike_are_told_apart_as_often_as_promised():
    """Three seeds each, whose accuracies scatter by 0.06: by single seeds a third would be told apart."""
    rng, p, single = np.random.default_rng(1), [], []
    for _ in range(300):
        models = [[rng.random(200) < rng.normal(0.75, 0.06) for _ in range(3)] for _ in range(2)]
        p.append(difference(*(shares(*one) for one in models), UNITS, None, "accuracy")["p"])
        single.append(difference(*(shares(one[0]) for one in models), UNITS, None, "accuracy")["p"])
    assert (np.array(p) < 0.05).mean() < 0.08
    assert (np.array(single) < 0.05).mean() > 0.2


def test_what_few_units_cannot_tell_is_unknown():
    few = units_of(np.zeros(200, dtype=int), [f"p{i % 9}" for i in range(200)])
    found = difference(shares(hits(0.8, 0)), shares(hits(0.6, 1)), few, None, "accuracy", margin=0.1)
    assert found["difference"] > 0
    assert (found["ci95"], found["p"], found["equivalent"]) == (None, None, {"p": None})
    undefined = Measured([None], np.full(4000, np.nan))
    assert difference(undefined, undefined, UNITS, None, "mcc")["difference"] is None
