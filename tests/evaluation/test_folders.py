"""Folders of evaluations: no two things share one, and each is found again."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemf.core.errors import HemfError
from hemf.data.dataset import SPLITS, DataSet, Sample
from hemf.evaluation.folders import find_evaluation, folder_name, replaced_line

NAMES = st.one_of(
    st.sampled_from(["a b", "a-b", "a_b", "A-B", "x", "x-fold1", "test", "..", "/", "-", "data", ""]),
    st.text(st.characters(codec="utf-8"), max_size=300),
)
THINGS = st.tuples(
    NAMES,
    st.sampled_from(["/A/images", "/B/images", "/A", "images"]),
    st.lists(st.sampled_from("ab"), min_size=1, max_size=3),
    st.sampled_from([None, 0, 1, 11]),
    st.sampled_from([*SPLITS, "all"]),
)


def data_set(name: str, root: str, labels: list[str]) -> DataSet:
    return DataSet(name, ["a", "b"], [Sample(f"{i}.png", one) for i, one in enumerate(labels)], Path(root))


@settings(max_examples=200)
@given(st.lists(THINGS, min_size=2, max_size=8, unique_by=repr))
def test_different_things_have_different_folders_and_the_same_the_same(things: list[tuple]) -> None:
    names = [folder_name(split, data_set(*about), fold) for *about, fold, split in things]
    assert len({name.casefold() for name in names}) == len(things)
    assert names == [folder_name(split, data_set(*about), fold) for *about, fold, split in things]
    for name in names:
        assert name not in (*SPLITS, "all")
        assert Path(name).name == name
        assert len(name.encode()) < 255


def test_readable_where_it_can_be() -> None:
    images = data_set("Our hospital: 2024", "/x", ["a"])
    name = folder_name("test", images, 1)
    assert name.startswith("Our-hospital-2024-fold1-test-")
    assert folder_name("test") == "test"
    assert folder_name("test", replace(images, classes=["b", "a"]), 1) != name


def made(run: Path, *names: str) -> Path:
    for name in names:
        (run / "evaluation" / name).mkdir(parents=True)
        (run / "evaluation" / name / "metrics.json").write_text("{}")
    return run


def test_the_hash_may_be_left_out_where_one_is_meant(tmp_path: Path) -> None:
    run = made(tmp_path, "test", "x-test-0123abcd", "y-test-0123abcd", "y-test-89abcdef")
    assert find_evaluation(run, "test").name == "test"
    assert find_evaluation(run, "x-test").name == "x-test-0123abcd"
    assert find_evaluation(run, "y-test-89abcdef").name == "y-test-89abcdef"
    with pytest.raises(HemfError, match=r"several evaluations on y-test: y-test-0123abcd, y-test-89abcdef"):
        find_evaluation(run, "y-test")
    with pytest.raises(HemfError, match=r"no predictions in evaluation/val \(it has test, .*--split val"):
        find_evaluation(run, "val")


def test_what_is_replaced_is_said_though_it_be_damaged(tmp_path: Path) -> None:
    folder = made(tmp_path, "test") / "evaluation" / "test"
    assert replaced_line(folder) == f"This replaces the evaluation in {folder}."
    (folder / "metrics.json").write_text("[")
    assert replaced_line(folder) == f"This replaces the evaluation in {folder}."
    assert replaced_line(tmp_path) is None
