"""Counts and values in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemf.text import counted, in_words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1, "image"), "1 image"),
        ((0, "image"), "0 images"),
        ((2, "patient or lesion", "patients or lesions"), "2 patients or lesions"),
        ((10015, "image", None, ","), "10,015 images"),
    ],
)
def test_a_number_agrees_with_its_noun(arguments: tuple, words: str) -> None:
    assert counted(*arguments) == words


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["x", "a b", ""])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner)),
)


@given(VALUES)
def test_no_sign_of_python_is_left(value: object) -> None:
    words = in_words(value)
    assert not set(words) & set("{}[]'\"")
    assert "None" not in words


def test_values_are_told_apart() -> None:
    assert in_words({"train": 0.7, "val": [1, 2]}) == "train 0.7, val 1, 2"
    assert in_words([{"a": 1}, {"a": True}]) == "a 1; a yes"
    assert in_words([]) == "none"
