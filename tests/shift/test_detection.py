"""How well a score tells images apart, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hemf.metrics.bootstrap import Draws
from hemf.shift.detection import Scores, against


def scores(values, groups=None) -> Scores:
    return Scores(np.asarray(values, float), groups or [""] * len(values))


def test_auc_is_scikit_learns_and_inside_its_interval():
    rng = np.random.default_rng(0)
    own, other = np.round(rng.normal(0.8, 0.2, 60), 1), np.round(rng.normal(1.0, 0.2, 40), 1)  # with ties
    found = against(scores(own), scores(other), Draws(500))
    auc = found["roc_auc"]
    expected = roc_auc_score([0] * 60 + [1] * 40, [*own, *other])
    assert auc["value"] == pytest.approx(expected, abs=1e-12)
    assert auc["ci95"][0] < expected < auc["ci95"][1]
    assert found["warned"]["value"] == (other > 1).mean()
    assert found["warned"]["n"] == 40


def test_patients_with_many_images_make_the_interval_wider():
    rng = np.random.default_rng(1)
    centres = rng.normal(0.9, 0.2, 12)
    own, groups = np.repeat(centres, 10) + rng.normal(0, 0.01, 120), [f"p{i // 10}" for i in range(120)]
    other = rng.normal(1.0, 0.2, 60)

    def width(of) -> float:
        low, high = against(scores(own, of), scores(other), Draws(500))["roc_auc"]["ci95"]
        return high - low

    assert width(groups) > 1.3 * width(None)
    assert scores(own, groups).warned()["groups"] == 12


def test_perfect_separation_still_has_an_interval():
    found = against(scores([0.1] * 30), scores([5.0] * 50), Draws(100))
    assert found["roc_auc"]["value"] == 1
    assert found["roc_auc"]["ci95"] == pytest.approx([0.9287, 1], abs=1e-4)  # Wilson of 50 of 50
