"""One table in its four forms."""

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from hemf.core.tables import Column, Table

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
    assert r"a\textbar{}b & 1234.50 & -- \\" in latex
    assert r"A note\_1." in latex


def test_csv_keeps_numbers_in_full_and_leaves_missing_cells_empty():
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert rows[0] == {"model": "hemf_base", "params": "66.678263", "score": "0.79 ± 0.01"}
    assert rows[1]["score"] == ""


def test_the_terminal_shows_markup_as_it_is():
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(Table("t", [Column("a", "[bold]")], [{"a": "[red]x[/red]"}]))
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


HOSTILE = [
    "<script>alert(1)</script>",
    "[a](javascript:b)",
    "$x$ `c` **d** ~~e~~ _f_ &amp;",
    "\\|",
    "]: h",
    "1. x",
]
words = st.text(
    st.one_of(st.sampled_from('\\`*_~$<>&|[]():!#-+1. {}%^"ab\n\u202e'), st.characters()), max_size=20
)
READ_LATEX = {
    "textbackslash": "\\",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textasciigrave": "`",
}


def shown(text: str) -> str:
    """What any form should show of ``text``: one line, without characters that steer."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def read_latex(text: str) -> str:
    """What LaTeX would print; any command or special character that no escape explains is an error."""
    tokens = re.findall(r"\\(?:[a-z]+\{\}|[&%$#_{}])|\$\\(?:pm|times)\$|--|[^\\~^<>|`±×–&%$#_{}]", text)
    assert "".join(tokens) == text
    signs = {r"$\pm$": "±", r"$\times$": "×"}
    return "".join(
        signs.get(t) or (READ_LATEX[t[1:-2]] if t.endswith("{}") else t[1:] if t[0] == "\\" else t)
        for t in tokens
    )


def table_of(texts: list[str]) -> Table:
    """The texts in one row."""
    columns = [Column(str(i), f"c{i}") for i in range(len(texts))]
    return Table("t", columns, [{str(i): text for i, text in enumerate(texts)}])


@given(st.lists(words, min_size=1, max_size=4))
@example(HOSTILE)
def test_any_text_stays_in_its_cell(texts):
    rows = list(csv.reader(io.StringIO(table_of(texts).csv(), newline="")))[1:]
    assert rows == [[shown(text) for text in texts]]


@given(st.lists(words, min_size=1, max_size=4), words.filter(str.strip))
@example(HOSTILE, HOSTILE[0])
@example(["a"], "12) no list")
def test_markdown_shows_any_text_as_it_is(texts, note):
    table = table_of(texts)
    page = Table(note, table.columns, table.rows, [note]).markdown()
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page)
    inline = [token for token in tokens if token.type == "inline"]
    title, *cells, last = inline
    assert [one.type for one in title.children if one.type != "text"] == ["strong_open", "strong_close"]
    assert all(child.type == "text" for one in [*cells, last] for child in one.children)
    assert [one.content for one in title.children if one.type == "text" and one.content] == [shown(note)]
    found = ["".join(child.content for child in one.children) for one in cells[len(texts) :]]
    assert found == [shown(text) for text in texts]
    assert "".join(child.content for child in last.children) == shown(note)
    assert {"paragraph_open", "table_open"} >= {t.type for t in tokens if t.level == 0 and t.nesting == 1}


@given(st.lists(words, min_size=1, max_size=4))
@example(HOSTILE)
@example(["[2pt]", "*"])
def test_latex_prints_any_text_as_it_is(texts):
    row = table_of(texts).latex().split("\\midrule\n")[1].split(" \\\\\n")[0]
    assert not row.startswith(("[", "*"))
    found = [read_latex(cell) for cell in re.split(r"(?<!\\) & ", row.removeprefix("{}"))]
    assert found == [shown(text).replace("–", "--") for text in texts]
