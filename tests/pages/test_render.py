"""A page: its parts, its glossary, its filters, and that nothing in it is read as markup."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from hemf.core.tables import Column, Table
from hemf.pages.elements import (
    Banner,
    Beside,
    Card,
    Cards,
    Code,
    Curve,
    Drawing,
    Estimate,
    Exhibit,
    Facts,
    Folded,
    Gallery,
    Lead,
    Matrix,
    Panel,
    Panels,
    Picture,
    Ramp,
    Scale,
    Section,
    Sentences,
    Tabular,
    Verdict,
    Verdicts,
    tables_of,
)
from hemf.pages.render import MARKS, Page, render, split_interval


class Tags(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def table(*names: str, value: str = "0.500 [0.400, 0.600]") -> Table:
    rows = [{"measure": name, "value": value} for name in names]
    return Table("A table", [Column("measure", "measure"), Column("value", "value")], rows)


def every_part(words: str) -> list:
    """One of each kind, with these words wherever it has any."""
    estimate = Estimate(0.5, 0.4, 0.6, 0.7)
    inside = [Tabular(table(words), estimates=[estimate], scale=Scale(-1, 1, 0))]
    exhibit = Exhibit(
        [Picture("data:image/png;base64,", words, words)], [(words, words)], [(words, True)], {"class": words}
    )
    return [
        Sentences([words]),
        Lead([words]),
        Banner(words, words),
        Verdicts([Verdict(words, status, words, "main") for status in MARKS]),
        Facts([(words, words)]),
        Cards([Card(words, words, words, estimate)]),
        Tabular(table(words), folded=True),
        Matrix(words, [words, "b"], [[1, 0], [2, 300]]),
        Drawing(Markup("<svg></svg>"), words, words, [Curve(words, "var(--c1)", "3 2", "o")], words),
        Ramp(words, words, ["#000000", "#ffffff"]),
        Code(words, words, folded=True),
        Gallery([exhibit], ["class"]),
        Beside([inside, [Sentences([words])]]),
        Panels([Panel(words, words, inside)]),
        Folded(words, inside),
    ]


def page_of(*parts, **options) -> str:
    return render(Page("Title", [Section("First", list(parts))], **options))


@settings(max_examples=15)
@given(st.text(min_size=1).filter(str.strip))
def test_no_words_of_any_part_are_read_as_markup(words: str) -> None:
    hostile, plain = (
        Tags(page_of(*every_part(one), about=one, footer=one)).found for one in (words, "w" * 20)
    )
    assert [tag for tag, _ in hostile] == [tag for tag, _ in plain]
    assert not [name for _, attributes in hostile for name in attributes if name.startswith("on")]


def test_terms_are_linked_to_definitions_that_the_page_carries_and_no_others() -> None:
    glossary = {"auc": "The area.", "unused": "Never met."}
    text = page_of(Tabular(table("AUC", "other")), glossary=glossary)
    assert '<a class="term" href="#term-auc">AUC</a>' in text
    assert '<dt id="term-auc" tabindex="-1">auc</dt><dd>The area.</dd>' in text
    assert "Never met" not in text
    of_class = Table("Classes", [Column("class", "class")], [{"class": "AUC"}])  # a name, and no term
    assert 'href="#term-auc"' not in page_of(Tabular(of_class), glossary=glossary)
    assert "What the words mean" not in page_of(Tabular(table("other")), glossary=glossary)


def test_a_verdict_says_its_status_by_a_mark_and_a_word() -> None:
    text = page_of(Verdicts([Verdict("Leakage", "bad", "Much.", "there")]))
    assert re.search(r'aria-hidden="true">✕</span>\s*<p><strong><a href="#there">Leakage</a></strong>', text)
    assert '<span class="status">problem</span>' in text


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("0.899 [0.861, 0.932]", ("0.899", "0.861 to 0.932")),
        ("+0.010 [-0.020, +0.040]", ("+0.010", "-0.020 to +0.040")),
        ("< 1 [0, 2]", ("< 1", "0 to 2")),
        ("0.5", ("0.5", "")),
    ],
)
def test_one_notation_of_intervals(cell: str, parts: tuple[str, str]) -> None:
    assert split_interval(cell) == parts
    assert not parts[1] or f'<span class="interval">{parts[1]}</span>' in page_of(
        Tabular(table("x", value=cell))
    )


def test_estimates_are_drawn_on_their_scale_and_never_beyond() -> None:
    text = page_of(Tabular(table("a"), estimates=[Estimate(0.0, -9, 0.5, 0.25)], scale=Scale(-1, 1, 0)))
    assert '<line class="reach" x1="0.0%" x2="75.0%"' in text
    assert '<line class="asked" x1="62.5%" x2="62.5%"' in text
    assert '<circle class="dot" cx="50.0%"' in text
    assert '<line class="zero" x1="50.0%"' in text


def test_a_matrix_shades_each_cell_by_its_share_of_the_row() -> None:
    text = page_of(Matrix("Counts", ["a", "a long name"], [[3, 1], [0, 0]]))
    assert '<td class="shade right" style="--share: 0.750">3 <span class="interval">75%</span></td>' in text
    assert '<td class="shade none" style="--share: 0.000">0</td>' in text
    assert '<th scope="col" class="turned"><bdi>a long name</bdi></th>' in text


def test_every_table_is_found_wherever_it_stands_and_identifiers_are_unique() -> None:
    parts = every_part("words")
    assert [one.table.title for one in tables_of(parts)] == ["A table"] * 4
    identifiers = [a["id"] for _, a in Tags(page_of(*parts)).found if "id" in a]
    assert len(identifiers) == len(set(identifiers))
