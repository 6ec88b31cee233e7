"""Columns are numbers or categories, and what is missing is counted and never a value."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemf.data.metadata.column import describe, kind_of, numbers_of


def test_numbers_have_quartiles_and_categories_have_counts() -> None:
    ages = describe("age", ["10", "20", "", "30", "40", "50", "60.5"])
    assert ages.to_json() == {
        "name": "age",
        "kind": "number",
        "missing": 1,
        "different": 6,
        "quartiles": (10.0, 22.5, 35.0, 47.5, 60.5),
    }
    sexes = describe("sex", ["f", "m", "f", "", ""])
    assert sexes.to_json() == {
        "name": "sex",
        "kind": "category",
        "missing": 2,
        "different": 2,
        "counts": {"f": 2, "m": 1},
    }


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "3", "4", "5"], "category"),
        (["1", "2", "3", "4", "5", "6"], "number"),
        (["1", "2", "3", "4", "5", "6", "7+"], "category"),
        (["1", "2", "3", "4", "5", "nan"], "category"),
        (["1", "2", "3", "4", "5", "1_0"], "category"),
        ([""], "category"),
    ],
)
def test_few_different_numbers_are_codes(values: list[str], kind: str) -> None:
    assert kind_of(values) == kind


@given(st.lists(st.one_of(st.just(""), st.floats(-1e6, 1e6).map(repr)), min_size=1))
def test_every_image_is_a_value_or_missing(values: list[str]) -> None:
    found = describe("x", values, "number")
    assert found.missing == values.count("") == np.isnan(numbers_of(values)).sum()
    known = [float(value) for value in values if value]
    assert found.different == len(set(known))
    assert not known or math.isclose(found.quartiles[4], max(known))


def test_no_more_than_fifty_categories_are_listed() -> None:
    found = describe("x", [f"v{i}" for i in range(80)] * 2)
    assert (len(found.counts), found.different) == (50, 80)
