"""Means over images with intervals that draw whole groups."""

import numpy as np
import pytest

from hemf.explanation.measures.means import about_intervals, mean_measure


def by_hand(values: np.ndarray, groups: list[str], resamples: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    members = [values[np.array(groups) == group] for group in sorted(set(groups))]
    means = [
        np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))]).mean()
        for _ in range(resamples)
    ]
    return np.percentile(means, [2.5, 97.5])


def test_intervals_are_those_of_drawing_groups_one_by_one():
    rng = np.random.default_rng(0)
    groups = [f"g{i}" for i in range(30) for _ in range(1 + i % 5)]
    of_group = dict(zip(sorted(set(groups)), rng.random(30), strict=True))
    values = np.array([of_group[group] + 0.1 * rng.random() for group in groups])
    found = mean_measure(values, groups)
    assert (found["value"], found["n"]) == (pytest.approx(values.mean()), 90)
    np.testing.assert_allclose(found["ci95"], by_hand(values, groups, 4000), atol=0.015)
    alone = mean_measure(values, [""] * 90)
    np.testing.assert_allclose(alone["ci95"], by_hand(values, [str(i) for i in range(90)], 4000), atol=0.015)
    assert np.ptp(alone["ci95"]) < 0.8 * np.ptp(found["ci95"])
    assert mean_measure(values, groups) == found


def test_undefined_values_are_left_out_and_an_interval_needs_something_to_vary():
    assert mean_measure([1.0, np.nan, 3.0], ["a", "b", "a"]) == {"value": 2.0, "n": 2}
    assert mean_measure([1.0, 1.0], ["a", "b"]) == {"value": 1.0, "n": 2}
    assert mean_measure([np.nan], ["a"]) == {"value": None, "n": 0, "reason": "no image has a value"}


def test_the_unit_is_told():
    assert (about_intervals(["a", "a", ""])["unit"], about_intervals(["a", "a", ""])["groups"]) == (
        "group",
        1,
    )
    assert (about_intervals(["", ""])["unit"], about_intervals(["", ""])["groups"]) == ("image", None)
