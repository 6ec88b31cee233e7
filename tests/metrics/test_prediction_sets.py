"""Coverage, size and abstention of prediction sets, by hand."""

import numpy as np
import pytest

from hemf.metrics.classification import proportion
from hemf.metrics.prediction_sets import refusal_metrics

IN_SET = np.array(
    [
        [1, 0, 0],  # right
        [1, 1, 0],  # in doubt, truth inside
        [0, 1, 1],  # in doubt, truth outside
        [0, 0, 0],  # empty
        [0, 1, 0],  # wrong
    ],
    bool,
)
LABELS, PREDICTIONS = np.array([0, 0, 0, 1, 0]), np.array([0, 0, 1, 1, 1])


def test_by_hand() -> None:
    found = refusal_metrics(LABELS, IN_SET, PREDICTIONS, ["a", "b", "c"])
    assert found["coverage"] == proportion(2, 5)
    assert found["mean_size"] == {"value": pytest.approx(6 / 5), "n": 5}
    assert found["abstained"] == proportion(3, 5)
    assert found["empty"] == proportion(1, 5)
    assert found["accuracy_answered"] == proportion(1, 2)
    assert 0 < found["coverage"]["ci95"][0] < 0.4 < found["coverage"]["ci95"][1] < 1


def test_every_class_by_itself() -> None:
    of = refusal_metrics(LABELS, IN_SET, PREDICTIONS, ["a", "b", "c"])["per_class"]
    assert [of[name]["n"] for name in "abc"] == [4, 1, 0]
    assert of["a"]["coverage"] == proportion(2, 4)
    assert of["b"]["coverage"] == proportion(0, 1)
    assert of["b"]["accuracy_answered"] == {"value": None, "n": 0, "reason": "never answered"}
    assert of["c"]["coverage"] == {"value": None, "n": 0, "reason": "absent"}
