"""How far an export is from its model: the numbers by hand, and the verdict at its borders."""

from dataclasses import replace

import numpy as np
import pytest

from hemf.exporting.parity import parity_of, shortcomings, upper_limit
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws

DRAWS = Draws(200)


def predictions(n: int = 60) -> Predictions:
    """A model that is right about most of n images of two classes, in pairs of one patient."""
    labels = np.arange(n) % 2
    sure = np.random.default_rng(0).uniform(0.3, 0.95, n)
    probabilities = np.where(labels[:, None] == [0, 1], sure[:, None], 1 - sure[:, None])
    return Predictions(
        [f"{i}.png" for i in range(n)], labels, probabilities, [f"p{i // 2}" for i in range(n)], ["a", "b"]
    )


def test_an_export_that_says_the_same_is_not_apart():
    found = parity_of(predictions(), predictions(), DRAWS)
    assert (found["n"], found["same_class"]) == (60, 60)
    assert found["largest_difference"] == found["mean_difference"] == 0
    assert found["accuracy"]["change"] == found["roc_auc_macro"]["change"] == 0
    assert found["accuracy"]["ci95"] is None
    assert shortcomings(found, "fp32", 0.5) == shortcomings(found, "int8", 0) == []
    assert upper_limit(found["accuracy"]) == ""


def test_what_is_lost_is_counted_with_its_interval():
    model = predictions()
    right = np.flatnonzero(model.decisions == model.labels)[:3]
    other = model.probabilities.copy()
    other[right] = other[right, ::-1]
    found = parity_of(model, replace(model, probabilities=other), DRAWS)
    assert found["same_class"] == 57
    assert found["largest_difference"] == pytest.approx(np.abs(model.probabilities - other).max())
    assert found["accuracy"]["change"] == pytest.approx(-3 / 60)
    assert found["accuracy"]["export"] == pytest.approx(found["accuracy"]["original"] - 3 / 60)
    low, high = found["accuracy"]["ci95"]
    assert low < -3 / 60 < high <= 0
    said = shortcomings(found, "int8", 0.5)
    assert said[0] == (
        f"accuracy falls by 5.0 points (a loss of at most {-100 * low:.1f} points by its 95% interval), more "
        "than the margin of 0.5"
    )
    assert said[1].startswith("ROC AUC falls by ")
    assert shortcomings(found, "int8", 30) == []


@pytest.mark.parametrize(("apart", "refused"), [(0.9e-4, False), (1.1e-4, True)])
def test_a_probability_of_fp32_may_differ_by_a_ten_thousandth(apart: float, refused: bool):
    model = predictions()
    other = model.probabilities.copy()
    other[7] += (apart, -apart)
    found = parity_of(model, replace(model, probabilities=other), DRAWS)
    assert bool(shortcomings(found, "fp32", 0.5)) == refused
    assert shortcomings(found, "fp16", 0.5) == []


def test_a_gain_is_no_loss():
    gained = {"accuracy": {"change": 0.1, "ci95": [0.05, 0.15]}, "largest_difference": 0.3}
    assert shortcomings(gained, "int8", 0) == []
    assert upper_limit(gained["accuracy"]) == " (a loss of at most 0.0 points by its 95% interval)"
