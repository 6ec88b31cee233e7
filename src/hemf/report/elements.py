"""What a report is made of: sections, and the few kinds of parts that stand in them.

A part holds plain text and numbers; the template ``report.html.j2`` alone knows how each kind looks.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hemf.core.tables import Table
from hemf.report.worst_mistakes import Mistake

WARNING = "Warning: "


@dataclass(frozen=True)
class Sentences:
    """Paragraphs; those that begin with ``Warning:`` stand out."""

    lines: Sequence[str]
    kind: ClassVar[str] = "sentences"

    @staticmethod
    def warns(line: str) -> bool:
        """Return whether a paragraph is a warning."""
        return line.startswith(WARNING)


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    rows: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Cards:
    """The few numbers that a reader looks for first: words, value, and what stands below it."""

    rows: Sequence[tuple[str, str, str]]
    kind: ClassVar[str] = "cards"


@dataclass(frozen=True)
class Tabular:
    """A table; a long one is folded away in the page, and a very long one left out of the other formats."""

    table: Table
    folded: bool = False
    exported: bool = True
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A picture with the words that stand for it where it cannot be seen.

    One that would be illegible in the width of the page is shown whole and scrolls.
    """

    source: str
    alt: str
    caption: str
    whole: bool = False
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Code:
    """Lines to be copied as they are, under a heading; folded away where they are many."""

    title: str
    text: str
    folded: bool = False
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Gallery:
    """Images that the model got wrong."""

    mistakes: Sequence[Mistake]
    kind: ClassVar[str] = "gallery"


Part = Sentences | Facts | Cards | Tabular | Figure | Code | Gallery


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    parts: Sequence[Part]

    @property
    def id(self) -> str:
        """The section's name in links."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


def picture(file: Path, alt: str, caption: str, whole: bool = False) -> list[Figure]:
    """Return an SVG file as a part that needs no file; nothing where there is no such file.

    It is embedded as an image, where a browser runs no script and loads nothing, whatever the file says.
    """
    if not file.is_file():
        return []
    data = base64.b64encode(file.read_bytes()).decode()
    return [Figure(f"data:image/svg+xml;base64,{data}", alt, caption, whole)]
