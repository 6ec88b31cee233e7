"""Counts, split and groups in words."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from hemf.data.dataset import DataSet, Sample
from hemf.data.summary import counts_table, group_lines, notes, split_line


def data_set(*samples: Sample, **split) -> DataSet:
    return DataSet("few", ["x", "y"], list(samples), Path(), {"split": split} if split else {})


def test_the_table_holds_a_row_a_class_and_the_totals_below():
    data = data_set(Sample("1", "x", "", "train"), Sample("2", "y", "", "test"), Sample("3", "x", "", "test"))
    table = counts_table(data)
    heads = [column.head for column in table.columns]
    columns = dict(zip(heads, map(list, zip(*table.cells(), strict=True)), strict=True))
    assert table.title == "few: 3 images"
    assert columns == {
        "class": ["x", "y", "all classes"],
        "train": ["1", "0", "1"],
        "test": ["1", "1", "2"],
        "all": ["2", "1", "3"],
        "share": ["66.7 %", "33.3 %", "100.0 %"],
    }


def test_class_names_are_never_read_as_markup():
    data = DataSet("[bold]d", ["[red]x"], [Sample("1", "[red]x")], Path())
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(counts_table(data))
    text = console.export_text()
    assert "[bold]d: 1 image" in text
    assert "[red]x" in text


def test_how_the_split_was_made():
    data = data_set(method="grouped", seed=3, ratios={"train": 0.8, "test": 0.2}, removed=["a"])
    assert split_line(data) == "split: grouped (seed 3, train 0.8, test 0.2)"
    assert split_line(data_set()) == "split: unknown"


def test_groups_on_two_sides_are_counted_with_their_images():
    assert "none known" in group_lines(data_set(Sample("1", "x")))[0]
    one, two = Sample("1", "x", "p", "train"), Sample("2", "y", "q", "test")
    lines = group_lines(data_set(one, two, Sample("3", "x", "", "test")), "patients")
    assert lines[0] == "patients: 2 of 1 image (median 1)"
    assert "1 image without" in lines[1]
    assert lines[2].strip() == "none on two sides of the split"
    last = group_lines(data_set(one, two, Sample("3", "x", "p", "test")))[-1]
    assert last.strip() == "LEAKAGE: 1 on two or more sides; of the images, 1 of 1 in train, 1 of 2 in test"


@pytest.mark.parametrize(
    "value", [5, None, "text", [1, None], {"group": 3, "unused": {}}, {"unused": [None]}]
)
def test_notes_that_a_stranger_wrote_are_text_or_nothing(value):
    data = data_set(Sample("1", "x", "", "test"), Sample("2", "y", "", "test"))
    data.info |= dict.fromkeys(("columns", "rows", "left_out", "doubts"), value) | {"rows": 1}
    assert all(isinstance(line, str) and line.isprintable() for line in notes(data))
    data.info = {"left_out": ["\x1b[2J\n"]}
    assert notes(data) == ["left out: \ufffd[2J\ufffd"]
