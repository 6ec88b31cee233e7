"""One table, four ways to write it: for the terminal, in Markdown, in LaTeX and as CSV.

Titles, headings, cells and notes are plain text: whatever they hold is shown, never read as markup.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hemf.core.text import in_words, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

NUMBER = re.compile(r"([<>] )?[-+]?[\d.,]+( ?%)?( of [\d,]+)?( ?[±[].*| \([\d.,]+ ?%\))?$")
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
MARKDOWN = re.compile(
    r"[\\`*~$<>|]|&(?=[#\w])|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])|^(?:[-+#=](?![.\d])|\d+[.)](?!\S))"
)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: which value of a row stands in it.
        head: its heading.
        format: how its numbers are written, such as ``.2f``; "" as they are.
        missing: what stands where a row has no value.
    """

    key: str
    head: str
    format: str = ""
    missing: str = "–"

    def text(self, row: Mapping[str, Any]) -> str:
        """Write the row's value on one line, in the column's format if it is a number."""
        value = row.get(self.key)
        if value is None:
            return self.missing
        return format(value, self.format) if _is_number(value) else _one_line(value)


@dataclass(frozen=True)
class Table:
    """Rows of values under columns, with a title above and notes below.

    Columns of numbers are aligned to the right; "0.87 ± 0.01" and "0.87 [0.85, 0.89]" are numbers too.

    Attributes:
        title: one line.
        columns: from left to right.
        rows: each a mapping that holds the columns' keys; what no column asks for is not shown.
        notes: sentences below the table.
        bold: key of what makes a row stand out in the terminal.
        last_apart: whether the last row sums up the others, and is set apart in the terminal.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()
    bold: str = ""
    last_apart: bool = False

    def cells(self) -> list[list[str]]:
        """Write the rows as text."""
        return [[column.text(row) for column in self.columns] for row in self.rows]

    def numeric(self, column: Column) -> bool:
        """Return whether the column holds numbers, or text that stands for them."""
        values = [row[column.key] for row in self.rows if row.get(column.key) is not None]
        return bool(values) and all(_is_number(v) or NUMBER.match(str(v)) for v in values)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> Iterator["Text"]:
        """Lay out the title and the table for rich, as wide as the terminal or narrower."""
        from rich.text import Text

        from hemf.core.terminal import Grid

        if self.title:
            yield Text(_one_line(self.title), style="bold")
        numeric = [self.numeric(column) for column in self.columns]
        bold = [bool(row.get(self.bold)) for row in self.rows]
        grid = Grid([_one_line(c.head) for c in self.columns], numeric, self.cells(), bold, self.last_apart)
        yield from grid.lines(options.max_width, "-" if options.ascii_only else "─")
        yield Text("")

    def show(self) -> None:
        """Print the table and its notes."""
        from rich.console import Console
        from rich.text import Text

        console = Console()
        console.print(self)
        for note in self.notes:
            console.print(Text(_one_line(note)))

    def markdown(self) -> str:
        """Write a pipe table (GitHub's Markdown) under its title in bold, notes below."""
        heads = [column.head for column in self.columns]
        rules = ["---:" if self.numeric(column) else "---" for column in self.columns]
        lines = [f"**{_markdown(self.title)}**", "", _pipes(heads), f"| {' | '.join(rules)} |"]
        lines += map(_pipes, self.cells())
        for note in self.notes:
            lines += ["", _markdown(note)]
        return "\n".join(lines) + "\n"

    def latex(self) -> str:
        """Write a ``table`` environment; the preamble needs ``\\usepackage{booktabs}``."""
        alignment = "".join("r" if self.numeric(column) else "l" for column in self.columns)
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(self.title)}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            _ampersands([column.head for column in self.columns]),
            r"\midrule",
            *map(_ampersands, self.cells()),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {_latex(note)}" for note in self.notes),
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Write comma-separated values: the columns' keys, then the values in full, "" for none."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.key for column in self.columns])
        writer.writerows([_in_full(row.get(column.key)) for column in self.columns] for row in self.rows)
        return file.getvalue()


def _in_full(value: Any) -> Any:
    return value if value is None or _is_number(value) else _one_line(value)


def _one_line(value: Any) -> str:
    return printable(" ".join(in_words(value).split()))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_markdown, cells))} |"


def _markdown(text: str) -> str:
    """Escape text so that Markdown shows it as it is; an underscore between letters needs no escape."""
    return MARKDOWN.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", _one_line(text))


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in _one_line(text))


def _ampersands(cells: Sequence[str]) -> str:
    line = " & ".join(map(_latex, cells)) + r" \\"
    return "{}" + line if line.startswith(("[", "*")) else line  # else the row above takes it for its option
