"""What a page is made of: sections, and the few kinds of parts that stand in them.

A part holds plain text and numbers; the templates beside this file alone know how each kind looks.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from urllib.parse import quote

from markupsafe import Markup

from hemf.core.tables import Table

WARNING = "Warning: "

Status = Literal["good", "caution", "bad", "unknown"]


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
class Lead:
    """The sentences to read aloud: larger than the rest."""

    lines: Sequence[str]
    kind: ClassVar[str] = "lead"


@dataclass(frozen=True)
class Banner:
    """What must be known before any number is read, such as that the data are external."""

    title: str
    text: str
    kind: ClassVar[str] = "banner"


@dataclass(frozen=True)
class Verdict:
    """A plain judgement: its subject, how it stands (a mark and a word say so), and a sentence.

    Args:
        subject: what is judged, in a word or two.
        status: how it stands.
        words: one or two sentences.
        link: id of the section that has the numbers.
        word: says how it stands, where the status's own word does not fit.
    """

    subject: str
    status: Status
    words: str
    link: str = ""
    word: str = ""


@dataclass(frozen=True)
class Verdicts:
    """Judgements, one below the other."""

    rows: Sequence[Verdict]
    kind: ClassVar[str] = "verdicts"


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    rows: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Estimate:
    """A number to be drawn: a dot on a scale, its 95% interval as a bar, and what was asked for as a line."""

    value: float
    low: float | None = None
    high: float | None = None
    asked: float | None = None


@dataclass(frozen=True)
class Scale:
    """The scale that estimates are drawn on; ``zero`` is marked where it lies inside."""

    low: float = 0.0
    high: float = 1.0
    zero: float | None = None

    def at(self, value: float) -> float:
        """Return where a value lies, in percent of the scale from its left end."""
        share = (value - self.low) / (self.high - self.low or 1)
        return round(100 * min(1.0, max(0.0, share)), 2)


@dataclass(frozen=True)
class Card:
    """A number that a reader looks for first: its name, the value, what stands below it, and its plot."""

    words: str
    value: str
    below: str
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Cards:
    """The few numbers that a reader looks for first."""

    rows: Sequence[Card]
    scale: Scale = Scale()
    kind: ClassVar[str] = "cards"


@dataclass(frozen=True)
class Tabular:
    """A table; a long one is folded away in the page, and a very long one left out of the other formats.

    Args:
        table: the table.
        folded: whether the page shows it only when asked.
        exported: whether ``tables.md`` and ``tables.tex`` have it too.
        hidden: whether the page leaves it out, as it shows the same in another way.
        estimates: for each row what is drawn beside its first cell, as in a forest plot; None for nothing.
        scale: of the estimates.
        links: for each row what its first cell leads to, a file below the page's folder; "" for nothing.
    """

    table: Table
    folded: bool = False
    exported: bool = True
    hidden: bool = False
    estimates: Sequence[Estimate | None] = ()
    scale: Scale = Scale()
    links: Sequence[str] = ()
    kind: ClassVar[str] = "table"

    def link(self, row: int) -> str:
        """Return the address that a row leads to; "" for none."""
        file = self.links[row] if self.links else ""
        return f"./{quote(file)}" if file else ""


@dataclass(frozen=True)
class Matrix:
    """Counts of a square table, each on a ground whose shade is its share of the row."""

    title: str
    names: Sequence[str]
    counts: Sequence[Sequence[int]]
    rows: str = "true"
    columns: str = "predicted"
    kind: ClassVar[str] = "matrix"


@dataclass(frozen=True)
class Curve:
    """How a legend shows a line of a drawing.

    Args:
        words: what it is.
        colour: as a style sheet says it.
        dashes: as in SVG's ``stroke-dasharray``; "" for an unbroken line, "none" for no line at all.
        marker: ``o`` or ``s``; "" for none; ``bar`` for a filled area.
    """

    words: str
    colour: str
    dashes: str = ""
    marker: str = ""


@dataclass(frozen=True)
class Drawing:
    """A drawing in the page's own colours, with the words that stand for it where it cannot be seen.

    Args:
        svg: the drawing itself, as ``hemf.figures.inline.inline`` makes it.
        alt: what it shows, in words.
        caption: stands below it.
        curves: its legend.
        title: stands above the legend.
    """

    svg: Markup
    alt: str
    caption: str
    curves: Sequence[Curve] = ()
    title: str = ""
    kind: ClassVar[str] = "drawing"


@dataclass(frozen=True)
class Ramp:
    """The legend of a scale of colours: what stands at its two ends, and colours at even steps between."""

    low: str
    high: str
    colours: Sequence[str]
    kind: ClassVar[str] = "ramp"


@dataclass(frozen=True)
class Code:
    """Lines to be copied as they are, under a heading; folded away where they are many."""

    title: str
    text: str
    folded: bool = False
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Picture:
    """An image with its alternative text and a line below it."""

    source: str
    alt: str
    below: str = ""


@dataclass(frozen=True)
class Exhibit:
    """Pictures that belong together, and what is to be said of them.

    Args:
        pictures: side by side.
        facts: names and what they are.
        tags: short remarks; those that are faults stand out.
        keys: value of each filter, by the filter's name.
    """

    pictures: Sequence[Picture]
    facts: Sequence[tuple[str, str]] = ()
    tags: Sequence[tuple[str, bool]] = ()
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gallery:
    """Exhibits in a grid; ``filters`` names those of their keys that a reader may choose a value of."""

    exhibits: Sequence[Exhibit]
    filters: Sequence[str] = ()
    kind: ClassVar[str] = "gallery"

    def choices(self, name: str) -> list[str]:
        """Return the values of a filter in order, without "" (which stands for an exhibit without one)."""
        return sorted({value for one in self.exhibits if (value := one.keys.get(name, ""))})


@dataclass(frozen=True)
class Beside:
    """Columns of parts that stand side by side where the page is wide, else one below the other."""

    columns: Sequence[Sequence["Part"]]
    kind: ClassVar[str] = "beside"


@dataclass(frozen=True)
class Panel:
    """A card that holds parts: a title, a line below it, and they."""

    title: str
    below: str
    parts: Sequence["Part"]


@dataclass(frozen=True)
class Panels:
    """Cards that hold parts, in a grid."""

    panels: Sequence[Panel]
    kind: ClassVar[str] = "panels"


@dataclass(frozen=True)
class Folded:
    """Parts that are shown only when asked."""

    summary: str
    parts: Sequence["Part"]
    kind: ClassVar[str] = "folded"


Part = (
    Sentences
    | Lead
    | Banner
    | Verdicts
    | Facts
    | Cards
    | Tabular
    | Matrix
    | Drawing
    | Ramp
    | Code
    | Gallery
    | Beside
    | Panels
    | Folded
)


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    parts: Sequence[Part]

    @property
    def id(self) -> str:
        """The section's name in links."""
        return section_id(self.title)


def section_id(title: str) -> str:
    """Return the name of a section in links."""
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def tables_of(parts: Sequence[Part]) -> Iterator[Tabular]:
    """Yield the tables among parts, and those inside them, in order."""
    for part in parts:
        if isinstance(part, Tabular):
            yield part
        elif isinstance(part, Beside):
            yield from (one for column in part.columns for one in tables_of(column))
        elif isinstance(part, Panels):
            yield from (one for panel in part.panels for one in tables_of(panel.parts))
        elif isinstance(part, Folded):
            yield from tables_of(part.parts)
