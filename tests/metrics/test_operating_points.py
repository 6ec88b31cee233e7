"""Operating points on other images than they were chosen on, by hand."""

import numpy as np
import pytest

from hemf.calibration.record import OperatingPoint
from hemf.metrics.classification import proportion
from hemf.metrics.operating_points import operating_point_metrics

SCORES = np.array([0.9, 0.6, 0.2, 0.6, 0.3, 0.1, 0.05])
PROBABILITIES = np.stack([1 - SCORES, SCORES], 1)
LABELS = np.array([1, 1, 1, 0, 0, 0, 0])


def metrics(label: str, threshold: float, labels: np.ndarray = LABELS) -> dict:
    point = OperatingPoint(label, "sensitivity", 0.95, threshold, 30)
    return operating_point_metrics(labels, PROBABILITIES, ["healthy", "ill"], point)


def test_by_hand() -> None:
    assert metrics("ill", 0.6) == {
        "class": "ill",
        "target": "sensitivity",
        "at": 0.95,
        "threshold": 0.6,
        "sensitivity": proportion(2, 3),
        "specificity": proportion(3, 4),
        "ppv": proportion(2, 3),
        "npv": proportion(3, 4),
        "lr_positive": {"value": pytest.approx(2 / 3 / (1 / 4)), "n": 7},
        "lr_negative": {"value": pytest.approx(1 / 3 / (3 / 4)), "n": 7},
        "chosen_on_n": 30,
    }
    assert metrics("healthy", 0.7)["sensitivity"] == proportion(3, 4)


def test_rates_that_do_not_exist_say_why() -> None:
    never, always = metrics("ill", 0.95), metrics("ill", 0.0)
    assert never["sensitivity"] == proportion(0, 3)
    assert never["ppv"] == {"value": None, "n": 0, "reason": "never predicted"}
    assert never["npv"] == proportion(4, 7)
    assert always["npv"] == {"value": None, "n": 0, "reason": "always predicted"}
    absent = metrics("ill", 0.5, np.zeros(7, int))
    assert absent["sensitivity"]["reason"] == "absent"
    assert metrics("ill", 0.5, np.ones(7, int))["specificity"]["reason"] == "one class only"
