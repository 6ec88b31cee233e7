"""CSV files read strictly: what is torn or swallowed by a quote is an error, never a shorter table."""

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.text import counted

DELIMITERS = ",;\t"
LINE_BREAK = re.compile(r"\r\n|\r|\n")
SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n")  # Excel's own first line


@dataclass(frozen=True)
class CsvTable:
    """A CSV file.

    Args:
        path: the file.
        head: names of its columns, as written; none if the file is empty.
        rows: values of each row, as many as there are columns; rows without any value are left out.
        lines: line of the file on which each row begins, from 1.
    """

    path: Path
    head: list[str]
    rows: list[list[str]]
    lines: list[int]

    def records(self) -> Iterator[dict[str, str]]:
        """Yield each row by the names of its columns."""
        return (dict(zip(self.head, row, strict=True)) for row in self.rows)


def read_csv_table(
    path: str | os.PathLike,
    delimiters: str = DELIMITERS,
    errors: str = "strict",
    mend: str = "save it as CSV in UTF-8",
) -> CsvTable:
    """Read a CSV file with a head line.

    Quotes are those of RFC 4180: a value in double quotes may hold delimiters, line breaks, doubled quotes.

    Args:
        path: the file, in UTF-8 with or without a byte order mark.
        delimiters: what may separate values; the one that occurs most in the head does.
        errors: what to do with bytes that are not UTF-8, as in ``bytes.decode``.
        mend: what the user can do about a file that is no CSV at all.

    Raises:
        HemfError: the file cannot be read, is no text, has rows of other lengths than its head, or a quote
            that is not closed.
    """
    path = Path(path)
    text = _text(path, errors, mend)
    named = SEPARATOR_LINE.match(text)
    start = named.end() if named else 0
    first = text[start:].partition("\n")[0]
    delimiter = named[1] if named else max(delimiters, key=first.count)
    reader = csv.reader(io.StringIO(text[start:], newline=""), delimiter=delimiter, strict=True)
    head, rows, lines = [], [], []
    before = 1 if named else 0
    line = before + 1
    try:
        for row in reader:
            where = f"{path}, line {line}"
            if not head:
                head = row
            elif any(row):
                _check_row(where, row, head, delimiter)
                rows.append(row)
                lines.append(line)
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise HemfError(
            f"{path}, line {line}: {error}; look for an unclosed quote (the {counted(len(rows), 'row')} "
            "above are whole)"
        ) from error
    return CsvTable(path, head, rows, lines)


def _text(path: Path, errors: str, mend: str) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig", errors)
    except OSError as error:
        raise HemfError(f"cannot read {path}: {error.strerror or error}; {mend}") from error
    except UnicodeDecodeError as error:
        raise HemfError(f"{path} is not a table ({error}); {mend}") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise HemfError(f"{path}, line {line} holds a NUL byte, so it is not text in UTF-8; {mend}")
    return text


def _check_row(where: str, row: Sequence[str], head: Sequence[str], delimiter: str) -> None:
    if len(row) > len(head):
        raise HemfError(f"{where}: more values than columns; put values that hold a separator in quotes")
    for value in row:
        if any(_is_row(line, row, delimiter) for line in LINE_BREAK.split(value)[1:]):
            raise HemfError(
                f"{where}: a value in quotes goes on over whole rows; look for an unclosed quote in this line"
            )
    if len(row) < len(head):
        raise HemfError(
            f"{where}: {len(row)} values for {counted(len(head), 'column')}; leave a value empty, but keep "
            "its separator"
        )


def _is_row(line: str, row: Sequence[str], delimiter: str) -> bool:
    """Return whether a line inside a quoted value is a row: one of its values is built as the row's own.

    Only values that are built of several parts are telling, such as paths; words are alike by chance.
    """
    cells = line.split(delimiter)
    return len(cells) > 1 and any(_are_alike(a, b) for a, b in zip(cells, row, strict=False))


def _are_alike(one: str, other: str) -> bool:
    pattern = _pattern(one)
    if len(pattern) > 2 and re.search(r"[#/.]", pattern) and pattern == _pattern(other):
        return True
    suffix = re.search(r"\w(\.[a-z]\w{1,4})$", one.strip(), re.IGNORECASE)
    return bool(suffix) and other.strip().endswith(suffix[1])


def _pattern(value: str) -> str:
    """Return a value with every run of letters as one letter and every number as one #."""
    return re.sub(r"\d+", "#", re.sub(r"[^\W\d_]+", "a", value.strip()))
