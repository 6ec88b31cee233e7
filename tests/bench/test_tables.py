"""One table in its four forms."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hemf.bench.tables import Column, Table

COLUMNS = [Column("model", "model"), Column("params", "params (M)", ".2f"), Column("score", "F1 & more")]
ROWS = [
    {"model": "hemf_base", "params": 66.678263, "score": "0.79 ± 0.01", "unseen": 1},
    {"model": "a|b", "params": 1234.5, "score": None},
]
TABLE = Table("Table 6: 100% of it", COLUMNS, ROWS, ["A note_1."])


def test_markdown_has_title_aligned_columns_and_notes():
    assert TABLE.markdown() == (
        "**Table 6: 100% of it**\n"
        "\n"
        "| model | params (M) | F1 & more |\n"
        "| --- | ---: | ---: |\n"
        "| hemf_base | 66.68 | 0.79 ± 0.01 |\n"
        "| a\\|b | 1234.50 | – |\n"
        "\n"
        "A note_1.\n"
    )


def test_latex_escapes_what_latex_reads():
    latex = TABLE.latex()
    assert r"\caption{Table 6: 100\% of it}" in latex
    assert r"\begin{tabular}{lrr}" in latex
    assert r"model & params (M) & F1 \& more \\" in latex
    assert r"hemf\_base & 66.68 & 0.79 $\pm$ 0.01 \\" in latex
    assert r"a|b & 1234.50 & -- \\" in latex
    assert r"A note\_1." in latex


def test_csv_keeps_numbers_in_full_and_leaves_missing_cells_empty():
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert rows[0] == {"model": "hemf_base", "params": "66.678263", "score": "0.79 ± 0.01"}
    assert rows[1]["score"] == ""


def test_the_terminal_shows_markup_as_it_is():
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(Table("t", [Column("a", "[bold]")], [{"a": "[red]x[/red]"}]).terminal())
    text = console.export_text()
    assert "[bold]" in text
    assert "[red]x[/red]" in text


@pytest.mark.parametrize(
    ("values", "numeric"),
    [
        ([1, 2.5], True),
        (["0.87 ± 0.01", 3], True),
        (["0.87 [0.85, 0.89]", None], True),
        (["7 classes"], False),
        ([None], False),
        ([True], False),
    ],
)
def test_only_columns_of_numbers_are_numeric(values, numeric):
    column = Column("x", "x")
    assert Table("t", [column], [{"x": value} for value in values]).numeric(column) is numeric


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_any_text_stays_in_its_cell(words):
    columns = [Column(str(i), f"c{i}") for i in range(len(words))]
    table = Table("t", columns, [{str(i): word for i, word in enumerate(words)}])
    row = table.markdown().splitlines()[4]
    assert row.replace("\\|", "").count("|") == len(words) + 1
    assert list(csv.reader(io.StringIO(table.csv(), newline="")))[1:] == [
        [" ".join(word.split()) for word in words]
    ]
