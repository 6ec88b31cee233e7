"""A table laid out for a terminal of any width: nothing is cut, and names break last.

The first form that fits is taken: columns as wide as what they hold; narrower columns, which break headings
and texts between words and put an interval below its value; the same with rows and columns exchanged; and,
which always fits, the rows one below the other with a line for each value.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from rich.cells import cell_len, chop_cells
from rich.text import Text

GAP = 2  # between columns; 1 where that lets them fit
INDENT = 2
TOKEN = re.compile(r"[-+]?[\d.,]+ %\S*|\[[-+.,\d –]+\]\S*|\S+")  # what no line break goes through
INTERVAL = re.compile(r" \[([^\[\]]+)\]$")


@dataclass(frozen=True)
class Grid:
    """Headings and cells, each a text on one line.

    Attributes:
        heads: headings of the columns; the first column holds the rows' names.
        numeric: which columns hold numbers, and are aligned to the right.
        rows: the cells.
        bold: which rows stand out.
        last_apart: whether the last row sums up those above, and stands below a rule.
    """

    heads: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[str]]
    bold: Sequence[bool]
    last_apart: bool = False

    def lines(self, width: int, rule: str = "─") -> list[Text]:
        """Lay the table out in lines of at most ``width`` character cells.

        Args:
            width: width of the terminal, in character cells.
            rule: the character that lines are drawn with.
        """
        for grid, gap in ((self, GAP), (self, 1), (self._exchanged(), GAP)):
            if widths := grid._widths(width, gap):
                return list(grid._in_columns(widths, gap, rule))
        return list(self._below_each_other(width))

    def _exchanged(self) -> Self:
        """Exchange rows and columns."""
        numeric = [False, *[all(self.numeric[1:])] * len(self.rows)]
        columns = [[head, *cells] for head, *cells in zip(self.heads, *self.rows, strict=True)]
        return type(self)(columns[0], numeric, columns[1:], [False] * (len(columns) - 1))

    def _widths(self, width: int, gap: int) -> list[int]:
        """Choose column widths that fit, giving words what they need first; empty if none fit."""
        columns = list(zip(self.heads, *self.rows, strict=True))
        full = [max(map(cell_len, column)) for column in columns]
        least = [_least(column, i > 0 and self.numeric[i]) for i, column in enumerate(columns)]
        spare = width - gap * (len(columns) - 1) - sum(least)
        if spare < 0:
            return []
        words = [i for i in range(len(columns)) if i == 0 or not self.numeric[i]]
        wanted = [(i, min(full[i], width // 2)) for i in words] + [(i, full[i]) for i in words]
        for i, want in [
            *wanted,
            *((i, min(cell_len(head), width // 2)) for i, head in enumerate(self.heads)),
        ]:
            more = max(0, min(want - least[i], spare))
            least[i] += more
            spare -= more
        on_a_line = [least[i] if i in words else full[i] for i in range(len(columns))]
        return on_a_line if sum(on_a_line) - sum(least) <= spare else least

    def _in_columns(self, widths: Sequence[int], gap: int, rule: str) -> Iterator[Text]:
        line = Text(rule * (sum(widths) + gap * (len(widths) - 1)), no_wrap=True)
        heads = [_wrapped(head, width) for head, width in zip(self.heads, widths, strict=True)]
        yield from self._row(heads, widths, gap, bold=True)
        yield line
        compact = [any(cell_len(row[i]) > width for row in self.rows) for i, width in enumerate(widths)]
        for number, row in enumerate(self.rows, start=1):
            if self.last_apart and number == len(self.rows) > 1:
                yield line
            cells = [
                _pieces(cell) if i > 0 and self.numeric[i] and compact[i] else _wrapped(cell, widths[i])
                for i, cell in enumerate(row)
            ]
            yield from self._row(cells, widths, gap, self.bold[number - 1])

    def _row(
        self, cells: Sequence[Sequence[str]], widths: Sequence[int], gap: int, bold: bool
    ) -> Iterator[Text]:
        for i in range(max(map(len, cells))):
            parts = [
                _padded(lines[i] if i < len(lines) else "", width, numeric)
                for lines, width, numeric in zip(cells, widths, self.numeric, strict=True)
            ]
            yield Text((" " * gap).join(parts).rstrip(), style="bold" if bold else "", no_wrap=True)

    def _below_each_other(self, width: int) -> Iterator[Text]:
        heads = min(max(map(cell_len, self.heads[1:]), default=0), (width - INDENT - GAP) // 2)
        values = width - INDENT - heads - GAP
        for name, *cells in self.rows:
            title = _wrapped(f"{self.heads[0]}: {name}" if self.heads[0] else name, width)
            yield from (Text(line, style="bold", no_wrap=True) for line in title)
            for head, cell in zip(self.heads[1:], cells, strict=True):
                left, right = _wrapped(head, heads), _wrapped(cell, values)
                for i in range(max(len(left), len(right))):
                    one = _padded(left[i] if i < len(left) else "", heads, right=False)
                    other = right[i] if i < len(right) else ""
                    yield Text((" " * INDENT + one + " " * GAP + other).rstrip(), no_wrap=True)


def _least(column: Sequence[str], numeric: bool) -> int:
    """Find the least width that breaks no word, no number and no heading."""
    head, *cells = column
    pieces = [piece for cell in cells for piece in (_pieces(cell) if numeric else TOKEN.findall(cell))]
    return max(map(cell_len, [*TOKEN.findall(head), *pieces]), default=0)


def _pieces(number: str) -> list[str]:
    """Split a number from what follows it: how sure it is, or which share."""
    return re.sub(r" (?=[±(])", "\n", INTERVAL.sub(r"\n\1", number)).split("\n")


def _wrapped(text: str, width: int) -> list[str]:
    """Break text into lines between words; a word breaks only if it is longer than a line."""
    lines = [""]
    for token in TOKEN.findall(text):
        for piece in [token] if cell_len(token) <= width else chop_cells(token, width):
            longer = f"{lines[-1]} {piece}" if lines[-1] else piece
            if cell_len(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
    return lines


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space
