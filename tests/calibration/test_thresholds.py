"""Thresholds reach what they were chosen for, on the images they were chosen on, at the least cost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemf.calibration.thresholds import choose_threshold

CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=40).filter(
    lambda rows: len({positive for positive, _ in rows}) == 2
)


def rates(positive: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    called = scores >= threshold
    return {"sensitivity": called[positive].mean(), "specificity": (~called)[~positive].mean()}


@given(CASES, st.sampled_from(["sensitivity", "specificity"]), st.sampled_from([0.3, 0.5, 0.8, 0.95, 1.0]))
def test_reaches_the_target_and_no_threshold_does_so_at_less_cost(rows, target: str, at: float) -> None:
    positive = np.array([positive for positive, _ in rows])
    scores = np.array([score / 12 for _, score in rows])
    other = "specificity" if target == "sensitivity" else "sensitivity"
    reaching = [
        found[other] for t in set(scores) if (found := rates(positive, scores, t))[target] >= at - 1e-12
    ]
    threshold = choose_threshold(target, at, positive, scores)
    if threshold is None:
        assert not reaching
        assert target == "specificity"
    else:
        found = rates(positive, scores, threshold)
        assert found[target] >= at - 1e-12
        assert found[other] == max(reaching)


def test_by_hand() -> None:
    positive = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    scores = np.array([0.9, 0.8, 0.5, 0.2, 0.7, 0.4, 0.3, 0.1])
    assert choose_threshold("sensitivity", 0.75, positive, scores) == pytest.approx(0.45)
    assert choose_threshold("sensitivity", 0.76, positive, scores) == pytest.approx(0.15)
    assert choose_threshold("specificity", 0.75, positive, scores) == pytest.approx(0.45)
    assert choose_threshold("specificity", 1.0, positive, scores) == pytest.approx(0.75)
    assert choose_threshold("sensitivity", 1.0, positive, scores[::-1]) == pytest.approx(0.05)


def test_a_specificity_that_only_silence_reaches() -> None:
    assert choose_threshold("specificity", 0.9, np.array([True, False]), np.array([0.1, 0.9])) is None


@pytest.mark.parametrize("n", [20, 40, 100])
def test_rounding_costs_no_image(n: int) -> None:
    positive = np.arange(2 * n) < n
    scores = np.arange(2 * n)[::-1] / (2 * n)
    threshold = choose_threshold("sensitivity", 0.95, positive, scores)
    assert (scores[positive] >= threshold).sum() == 0.95 * n
