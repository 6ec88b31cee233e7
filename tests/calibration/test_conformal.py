"""Prediction sets hold the truth as often as they promise, on images that they were not made with."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import betabinom, binom

from hemf.calibration.conformal import conformal_quantile, enough_images


def images(n: int, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model that is too sure of itself, and labels."""
    logits = rng.normal(size=(n, k))
    labels = rng.multinomial(1, softmax(logits, axis=1)).argmax(1)
    return softmax(3 * logits, axis=1), labels


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [20, 33, 100])
def test_is_the_ranked_score_of_the_finite_sample_correction(n: int, coverage: float) -> None:
    probabilities, labels = images(n, 4, np.random.default_rng(n))
    scores = sorted(1 - probabilities[np.arange(n), labels])
    assert conformal_quantile(probabilities, labels, coverage) == scores[math.ceil((n + 1) * coverage) - 1]


def test_coverage_on_held_out_images_is_beta_binomial() -> None:
    """Vovk 2012: of m new images, the number covered is BetaBinomial(m, rank, n + 1 - rank)."""
    rng, n, m, splits, coverage = np.random.default_rng(0), 60, 150, 400, 0.9
    probabilities, labels = images(6000, 5, rng)
    covered = np.empty(splits, int)
    for i in range(splits):
        drawn = rng.choice(len(labels), n + m, replace=False)
        ours, others = drawn[:n], drawn[n:]
        quantile = conformal_quantile(probabilities[ours], labels[ours], coverage)
        covered[i] = (1 - probabilities[others, labels[others]] <= quantile).sum()
    rank = math.ceil((n + 1) * coverage)
    expected = betabinom(m, rank, n + 1 - rank)
    assert coverage <= rank / (n + 1) <= coverage + 1 / (n + 1)
    assert covered.mean() == pytest.approx(expected.mean(), abs=4 * expected.std() / math.sqrt(splits))
    assert covered.std() == pytest.approx(expected.std(), rel=0.2)
    low = binom(splits, expected.cdf(expected.ppf(0.1)))
    assert low.ppf(1e-4) <= (covered <= expected.ppf(0.1)).sum() <= low.ppf(1 - 1e-4)


@given(st.integers(0, 1000), st.integers(20, 60), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_sets_are_nested_in_the_coverage(seed: int, n: int, one: float, other: float) -> None:
    probabilities, labels = images(n, 3, np.random.default_rng(seed))
    low, high = sorted((one, other))
    smaller = 1 - probabilities <= conformal_quantile(probabilities, labels, low)
    larger = 1 - probabilities <= conformal_quantile(probabilities, labels, high)
    assert (smaller <= larger).all()
    assert larger[np.arange(n), labels].mean() >= high


@pytest.mark.parametrize(("coverage", "least"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_how_many_images_a_coverage_needs(coverage: float, least: int) -> None:
    assert not enough_images(least - 1, coverage)
    assert enough_images(least, coverage)
    probabilities, labels = images(least, 3, np.random.default_rng(0))
    worst = 1 - probabilities[np.arange(least), labels].min()
    assert conformal_quantile(probabilities, labels, coverage) == worst
