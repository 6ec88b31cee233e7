"""Writes a page as HTML: one file that needs no other, asks for nothing and runs nothing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from hemf.core.text import printable
from hemf.pages.elements import Section

MARKS = {
    "good": ("✓", "good"),
    "caution": ("!", "take care"),
    "bad": ("✕", "problem"),
    "unknown": ("?", "unknown"),
}
"""Of a verdict's status: the mark and the word, so that neither colour nor shape alone tells it."""

INTERVAL = re.compile(r" \[([^\]]+), ([^\]]+)\]$")


@dataclass(frozen=True)
class Page:
    """A page.

    Args:
        title: its heading.
        sections: from top to bottom; the first has no heading of its own in the list of contents.
        what: what made it, such as ``Evaluation by hemf``.
        about: a line below the heading.
        footer: last words.
        glossary: definitions by term; those that the page uses are carried in it, and linked.
    """

    title: str
    sections: Sequence[Section]
    what: str = "Evaluation by hemf"
    about: str = ""
    footer: str = ""
    glossary: Mapping[str, str] = field(default_factory=dict)


def render(page: Page) -> str:
    """Return the page as HTML; every text in it is escaped."""
    numbers = count(1)
    return _template().render(
        page=page,
        terms={},  # those met so far
        new_id=lambda: f"part-{next(numbers)}",
        mark=MARKS.__getitem__,
        split_interval=split_interval,
    )


def split_interval(cell: str) -> tuple[str, str]:
    """Split a cell such as ``0.899 [0.861, 0.932]`` into the value and ``0.861 to 0.932``."""
    found = INTERVAL.search(cell)
    return (cell[: found.start()], f"{found[1]} to {found[2]}") if found else (cell, "")


@pass_context
def _term(context: Context, words: str) -> Markup:
    """Link words that the glossary defines to their definition."""
    key = words.strip().lower()
    if key not in context["page"].glossary:
        return escape(printable(words))
    identifier = context["terms"].setdefault(key, f"term-{re.sub(r'[^a-z0-9]+', '-', key).strip('-')}")
    return Markup('<a class="term" href="#{}">{}</a>').format(identifier, words)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("hemf.pages", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["term"] = _term
    return environment.get_template("page.html.j2")


def _plain(value: Any) -> Any:
    """Return text of others without what steers; what the template itself made stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
