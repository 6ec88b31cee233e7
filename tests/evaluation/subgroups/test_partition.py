"""Subgroups divide the images: each is in one, and those without a value are one of their own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemf.core.errors import HemfError
from hemf.evaluation.subgroups.partition import Cut, check_cuts, read_cuts, subgroups_of


@given(
    st.lists(st.one_of(st.just(""), st.integers(0, 90).map(str), st.floats(0, 9).map(repr)), min_size=1),
    st.lists(st.integers(0, 90), max_size=4, unique=True).map(sorted),
)
def test_every_image_is_in_one_group(values: list[str], edges: list[float]) -> None:
    groups = subgroups_of(Cut("age", tuple(edges)), values, "number")
    assert (np.sum([group.images for group in groups], axis=0) == 1).all()
    assert all(group.images.any() for group in groups)
    assert len({group.value for group in groups}) == len(groups)


def test_numbers_are_cut_into_quarters_or_as_asked() -> None:
    ages = [str(age) for age in [*range(20, 60), ""]]
    quarters = subgroups_of(Cut("age"), ages)
    assert [(g.value, int(g.images.sum())) for g in quarters] == [
        ("20 to 29", 10),
        ("30 to 39", 10),
        ("40 to 49", 10),
        ("50 to 59", 10),
        ("missing", 1),
    ]
    asked = subgroups_of(Cut("age", (30.0, 55.5)), ages)
    assert [(g.value, int(g.images.sum())) for g in asked[:3]] == [
        ("below 30", 10),
        ("30 to below 55.5", 26),
        ("55.5 and above", 4),
    ]


def test_categories_come_by_size_and_codes_may_be_cut() -> None:
    groups = subgroups_of(Cut("site"), ["leg", "arm", "leg", ""])
    assert [(g.value, g.images.tolist()) for g in groups] == [
        ("leg", [True, False, True, False]),
        ("arm", [False, True, False, False]),
        ("missing", [False, False, False, True]),
    ]
    grades = subgroups_of(Cut("grade", (3.0,)), ["1", "2", "3", "4"])
    assert [g.value for g in grades] == ["below 3", "3 and above"]


def test_columns_are_read_as_asked_for() -> None:
    assert read_cuts("sex, age=40/60 ,site") == (Cut("sex"), Cut("age", (40.0, 60.0)), Cut("site"))
    for by, words in (
        (",", "names no column"),
        ("sex,age,sex", "'sex' twice"),
        ("age=60/40", "'60/40' are no ascending numbers; give such as age=40/60"),
        ("age=a/b", "no ascending numbers"),
        ("age=nan", "no ascending numbers"),
        ("age=", "no ascending numbers"),
    ):
        with pytest.raises(HemfError, match=words):
            read_cuts(by)


def test_what_cannot_be_divided_is_said() -> None:
    with pytest.raises(HemfError, match="mine has no column 'sex' for --by; it has age, site"):
        check_cuts([Cut("age"), Cut("sex")], {"age": [], "site": []}, "mine")
    with pytest.raises(HemfError, match="its manifest has none"):
        check_cuts([Cut("age")], {}, "mine")
    with pytest.raises(HemfError, match="holds categories, which have no edges; leave out =40/60"):
        subgroups_of(Cut("site", (40.0, 60.0)), ["arm", "3"])
    with pytest.raises(HemfError, match="51 different values"):
        subgroups_of(Cut("site"), [f"site {i}" for i in range(51)])
