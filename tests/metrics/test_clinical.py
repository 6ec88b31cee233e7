"""Net benefit, slopes, smooth reliability, likelihood ratios: by hand, by scikit-learn, in the long run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix

from hemf.metrics.bootstrap import units_of
from hemf.metrics.clinical.decision_curves import THRESHOLDS, decision_curves
from hemf.metrics.clinical.slope import SEPARATED, slopes
from hemf.metrics.clinical.smooth import smooth_reliability
from hemf.metrics.operating_points import likelihood_ratios


def calibrated(n: int, k: int, seed: int, too_sure: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k))
    labels = (softmax(logits, axis=1).cumsum(1) < rng.random((n, 1))).sum(1).clip(0, k - 1)
    return labels, softmax(too_sure * logits, axis=1)


@given(st.integers(0, 1000), st.integers(10, 80))
def test_net_benefit_is_that_of_the_confusion_matrix(seed, n):
    labels, p = calibrated(n, 3, seed)
    for name, points in decision_curves(labels, p, list("abc")).items():
        k = "abc".index(name)
        for point in points:
            t = point["threshold"]
            (_, fp), (_, tp) = confusion_matrix(labels == k, p[:, k] >= t, labels=[False, True])
            assert point["net_benefit"]["value"] == pytest.approx((tp - fp * t / (1 - t)) / n)
            share = (labels == k).mean()
            assert point["treat_all"] == pytest.approx(share - (1 - share) * t / (1 - t))
    assert [point["threshold"] for point in points] == list(THRESHOLDS)


def test_a_calibrated_model_is_never_worse_than_all_or_none():
    labels, p = calibrated(200_000, 2, 0)
    for point in decision_curves(labels, p, ["no", "yes"])["yes"]:
        assert point["net_benefit"]["value"] > max(0, point["treat_all"]) - 0.002


def test_a_class_without_a_rest_has_no_curve():
    assert decision_curves(np.zeros(5, int), np.full((5, 2), 0.5), ["a", "b"]) == {}


def test_slope_and_intercept_are_those_of_scikit_learn():
    labels, p = calibrated(400, 3, 0, too_sure=2.0)
    found = slopes(labels, p, list("abc"), units_of(labels))
    for k, name in enumerate("abc"):
        fit = LogisticRegression(C=1e12, tol=1e-10).fit(logit(p[:, [k]]), labels == k)
        assert found[name]["slope"]["value"] == pytest.approx(fit.coef_[0, 0], abs=1e-4)
        shift = found[name]["intercept"]["value"]
        assert expit(logit(p[:, k]) + shift).mean() == pytest.approx((labels == k).mean(), abs=1e-6)
        assert found[name]["slope"]["ci95"][1] < 1  # too sure by twice


@pytest.mark.parametrize("images", [1, 4])
def test_their_intervals_hold_the_truth_about_as_often_as_they_say(images):
    """Also where an image stands four times under its patient: taken as images they would be half as wide."""
    held = []
    for seed in range(120):
        labels, p = calibrated(100, 2, seed)
        groups = [f"p{i}" for i in np.repeat(range(100), images)] if images > 1 else None
        labels, p = np.repeat(labels, images), np.repeat(p, images, axis=0)
        found = slopes(labels, p, ["a", "b"], units_of(labels, groups))["b"]
        held.append([found[name]["ci95"][0] <= at <= found[name]["ci95"][1] for name, at in AT.items()])
    assert (np.mean(held, axis=0) > 0.88).all()


AT = {"slope": 1, "intercept": 0}


def test_what_cannot_be_fitted_has_a_reason():
    labels, p = np.arange(40) % 2, np.eye(2)[np.arange(40) % 2] * 0.8 + 0.1
    found = slopes(labels, p, ["a", "b"], units_of(labels))
    assert (found["b"]["slope"]["value"], found["b"]["slope"]["reason"]) == (None, SEPARATED)
    assert found["b"]["intercept"]["value"] == pytest.approx(0, abs=1e-6)
    few = slopes(*calibrated(9, 2, 1), ["a", "b"], units_of(np.arange(9)))["a"]
    assert "ci95" not in few["slope"]
    assert "9 images are too few" in few["slope"]["no_interval"]
    alone = slopes(np.zeros(9, int), p[:9], ["a", "b"], units_of(np.zeros(9, int)))
    assert {one["slope"]["reason"] for one in alone.values()} == {"one class only", "absent"}


def test_smooth_reliability_stays_on_the_diagonal_of_a_calibrated_model():
    for too_sure, off in ((1.0, 0.01), (3.0, 0.3)):
        points = smooth_reliability(*calibrated(100_000, 3, 0, too_sure))
        apart = max(abs(one["accuracy"]["value"] - one["confidence"]) for one in points)
        assert apart < off if too_sure == 1 else apart > 0.2


def test_likelihood_ratios_multiply_odds():
    found = likelihood_ratios(np.array([0.9, 0.5, 1.0]), np.array([0.8, 1.0, 0.0]))
    assert found["lr_positive"] == pytest.approx([4.5, np.nan, 1.0], nan_ok=True)
    assert found["lr_negative"] == pytest.approx([0.125, 0.5, np.nan], nan_ok=True)
    share, (tp, fp) = 0.1, (0.1 * 0.9, 0.9 * 0.2)
    odds = share / (1 - share) * found["lr_positive"][0]
    assert odds / (1 + odds) == pytest.approx(tp / (tp + fp))  # the positive predictive value
