"""A check list as Markdown, to be filled in, and as a page."""

import hashlib
from itertools import groupby
from pathlib import Path

from hemf.checklists.make import Checklist
from hemf.core.files import write_text
from hemf.core.tables import Column, Table
from hemf.core.text import printable
from hemf.pages.elements import Section, Sentences, Tabular
from hemf.pages.render import Page, render

OPEN = "To be answered by a person."
ESCAPED = "\\`*_[]<>|#!"
MARK = "<!-- hemf checklist, sha256 of the text above: {} -->"


def write_checklist(found: Checklist, folder: Path, name: str) -> list[Path]:
    """Write ``NAME.md`` and ``NAME.html`` into a folder; returns both."""
    paths = [folder / f"{name}{suffix}" for suffix in (".md", ".html")]
    write_text(paths[0], markdown(found))
    page = Page(f"{found.standard['name']}: {found.run}", _sections(found), "Check list by hemf")
    write_text(paths[1], render(page))
    return paths


def markdown(found: Checklist) -> str:
    """Return a check list as Markdown: of each item its question, and what the run knows or a box."""
    parts = [f"# {found.standard['name']}: {_text(found.run)}", *(_text(line) for line in _intro(found))]
    for section, items in groupby(found.items, key=lambda item: item.section):
        parts.append(f"## {_text(section)}")
        for item in items:
            known = [f"- {_text(line)}" for line in item.answers] or [f"- [ ] {OPEN}"]
            parts += [f"### {item.number}", _text(item.asks), "\n".join(known)]
    text = "\n\n".join(parts) + "\n"
    return f"{text}\n{MARK.format(_digest(text))}\n"


def is_untouched(path: Path) -> bool:
    """Recognise a check list in Markdown that is as hemf wrote it, so that no answers are lost."""
    text, _, last = path.read_text(encoding="utf-8", errors="replace").rstrip("\n").rpartition("\n")
    return last == MARK.format(_digest(text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _intro(found: Checklist) -> list[str]:
    about, total = found.standard, len(found.items)
    return [
        f"{about['title']} ({about['citation']}, doi {about['doi']}). Items are worded by hemf. "
        f"{about['numbering']}",
        f"The run knows something about {total - found.open} of {total} items; {found.open} are left to a "
        "person. What it knows helps to answer an item and need not be all that is asked: read every one.",
    ]


def _sections(found: Checklist) -> list[Section]:
    sections = [Section("About this list", [Sentences(_intro(found))])]
    columns = [Column("number", "item"), Column("asks", "asks"), Column("known", "what the run knows")]
    for section, items in groupby(found.items, key=lambda item: item.section):
        rows = [
            {"number": item.number, "asks": item.asks, "known": " ".join(item.answers) or OPEN}
            for item in items
        ]
        sections.append(Section(section, [Tabular(Table("", columns, rows), exported=False)]))
    return sections


def _text(text: str) -> str:
    """Return what others wrote as Markdown that shows it and does nothing else."""
    return "".join(f"\\{c}" if c in ESCAPED else c for c in printable(text))
