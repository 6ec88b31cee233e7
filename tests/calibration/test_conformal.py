"""Prediction sets hold the truth as often as they promise, on images that they were not made with."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import betabinom, binom

from hemf.calibration.conformal import class_quantiles, conformal_quantile, enough_units


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
    assert not enough_units(least - 1, coverage)
    assert enough_units(least, coverage)
    probabilities, labels = images(least, 3, np.random.default_rng(0))
    worst = 1 - probabilities[np.arange(least), labels].min()
    assert conformal_quantile(probabilities, labels, coverage) == worst


def patients(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of patients, one to nine each, who are hard or easy as a whole, and whose image it is."""
    units = np.repeat(np.arange(number), rng.integers(1, 10, number))
    logits = 0.3 * rng.normal(size=(len(units), 3)) + 2 * rng.normal(size=(number, 3))[units]
    labels = (softmax(0.4 * logits, axis=1).cumsum(1) < rng.random(number)[units][:, None]).sum(1).clip(0, 2)
    return softmax(logits, axis=1), labels, units


def test_by_patient_an_image_of_a_new_patient_is_covered_as_promised() -> None:
    """With images counted, few patients promise too much: their images are hard or easy together."""
    rng, of_patients, of_images = np.random.default_rng(0), [], []
    _, first = np.unique((new := patients(rng, 20_000))[2], return_index=True)
    scores = 1 - new[0][first, new[1][first]]
    for _ in range(400):
        p, labels, units = patients(rng, 9)
        of_patients.append((scores <= conformal_quantile(p, labels, 0.9, units)).mean())
        of_images.append((scores <= conformal_quantile(p, labels, 0.9)).mean())
    assert 0.89 < np.mean(of_patients) < 0.95
    assert np.mean(of_images) < 0.89


@given(st.integers(0, 1000), st.integers(9, 60))
def test_with_one_image_a_patient_it_is_the_quantile_of_images(seed: int, n: int) -> None:
    p, labels = images(n, 3, np.random.default_rng(seed))
    single = conformal_quantile(p, labels, 0.9)
    assert conformal_quantile(p, labels, 0.9, np.arange(n)) == single
    twice = (np.repeat(p, 2, axis=0), np.repeat(labels, 2), 0.9, np.repeat(np.arange(n), 2))
    assert conformal_quantile(*twice) == single


def test_by_class_rare_classes_are_covered_too() -> None:
    """Shares of 80, 15 and 5 %, of which all images together cover 0.98, 0.64 and 0.34."""
    rng = np.random.default_rng(0)

    def made(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.choice(3, n, p=[0.8, 0.15, 0.05])
        return softmax(
            rng.normal(size=(n, 3)) + np.eye(3)[labels] + np.log([0.8, 0.15, 0.05]), axis=1
        ), labels

    p, labels = made(1000)
    new, truth = made(40_000)
    found = class_quantiles(p, labels, 0.9, np.arange(1000))
    together = conformal_quantile(p, labels, 0.9)
    for k in range(3):
        score, n = 1 - new[truth == k, k], (labels == k).sum()
        assert (score <= found[k]).mean() == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / n))
        assert found[k] == conformal_quantile(p[labels == k], labels[labels == k], 0.9)
    assert (1 - new[truth == 2, 2] <= together).mean() < 0.5
    few = class_quantiles(p, np.where(np.arange(1000) < 8, 2, labels % 2), 0.9, np.arange(1000))
    assert few[2] is None
