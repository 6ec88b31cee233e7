"""What a CSV writer wrote comes back, and what is torn, swallowed or no text is named with its line."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemf.core.errors import HemfError
from hemf.core.strict_csv import read_csv_table

HEAD = "path,label,note\n"


def swallowed(opened: str, closed: str, rows: int = 24) -> str:
    """A table in which the 10th row's note opens a quote, and the 16th row's closes it."""
    notes = {9: opened, 15: closed}
    return HEAD + "".join(f"im/{i:02d}.png,{'ab'[i % 2]},{notes.get(i, '')}\n" for i in range(rows))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (swallowed('"5 mm, ulcerated', ""), r"line 11: .*unclosed quote \(the 9 rows above are whole\)"),
        (swallowed('"5 mm, ulcerated', '6 mm"'), "line 11: a value in quotes goes on over whole rows"),
        (swallowed('"5 mm', '"6 mm"'), "line 11: .*unclosed quote"),
        (swallowed('"5 mm', 'a "quoted" word'), "line 11: .*unclosed quote"),
        (HEAD + '1.png,a,"5" nodule"\n', "line 2: .*expected after .*unclosed quote"),
        (HEAD + "1.png,a,\n2.png,b,x,y\n", "line 3: more values than columns"),
        (HEAD + "1.png,a,\n2.png,b\n", "line 3: 2 values for 3 columns"),
        (HEAD + '"a\nb.png",a,\n2.png,b\n', "line 4: 2 values"),
        (HEAD + f'1.png,a,"{"x" * 200_000}"\n', "line 2: field larger"),
        (HEAD + "1.png,a,\n2.png,b\0,\n", "line 3 holds a NUL byte"),
        (HEAD.encode("utf-16-le").decode("latin-1"), "line 1 holds a NUL byte"),
    ],
)
def test_a_torn_table_is_an_error_that_names_its_line(tmp_path, text, words):
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(HemfError, match=words) as caught:
        read_csv_table(tmp_path / "list.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xfep\0a\0t\0h\0", b"path\xe9\n"])
def test_what_is_no_utf_8_is_named(tmp_path, data):
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(HemfError, match=r"list\.csv is not a table .*save it as CSV in UTF-8"):
        read_csv_table(tmp_path / "list.csv")
    with pytest.raises(HemfError, match=r"cannot read .*nothing"):
        read_csv_table(tmp_path / "nothing.csv")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_line_ends_and_the_byte_order_mark(tmp_path, delimiter, end, mark):
    rows = [
        "path,label,note",
        "1.png,a,",
        "",
        ",,",
        '2.png,b,"two',
        'lines, and ""quotes"""',
        "3.png,a,x",
        "",
    ]
    text = mark + end.join(row.replace(",", delimiter) for row in rows)
    (tmp_path / "list.csv").write_bytes(text.encode())
    table = read_csv_table(tmp_path / "list.csv")
    assert table.head == ["path", "label", "note"]
    note = f'two{end}lines{delimiter} and "quotes"'
    assert table.rows == [["1.png", "a", ""], ["2.png", "b", note], ["3.png", "a", "x"]]
    assert table.lines == [2, 5, 7]
    assert [row["label"] for row in table.records()] == ["a", "b", "a"]


def test_the_separator_that_excel_writes_is_no_row(tmp_path):
    (tmp_path / "list.csv").write_text("sep=;\r\npath;label\r\n1,5.png;a\r\n")
    table = read_csv_table(tmp_path / "list.csv")
    assert (table.head, table.rows, table.lines) == (["path", "label"], [["1,5.png", "a"]], [3])


def test_a_note_of_several_lines_is_no_swallowed_row(tmp_path):
    note = "5 mm, ulcerated\nseen by A, B, C\nagain in 2019, 2020, 2021"
    with open(tmp_path / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [["path", "label", "note"], ["im/1.png", "a", note], ["im/2.png", "b", ""]]
        )
    assert read_csv_table(tmp_path / "list.csv").rows[0][2] == note


values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@settings(max_examples=60)
@given(
    rows=st.lists(st.lists(values, min_size=3, max_size=3), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t"),
)
def test_whatever_a_writer_writes_is_read_back_or_refused(tmp_path_factory, rows, delimiter):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["path", "label", "note"], *rows])
    file = tmp_path_factory.mktemp("csv") / "list.csv"
    file.write_bytes(text.getvalue().encode())
    try:
        read = read_csv_table(file).rows
    except HemfError:
        assert any("\n" in value or "\r" in value for row in rows for value in row)
    else:
        assert read == [row for row in rows if any(row)]


@settings(max_examples=60)
@given(place=st.integers(0, 10_000))
def test_a_stray_quote_never_loses_a_row_in_silence(tmp_path_factory, place):
    """One quote put anywhere: either every row is there, or it is an error."""
    text = HEAD + "".join(f"im/{i:02d}.png,{'ab'[i % 2]},{i} mm\n" for i in range(10))
    at = len(HEAD) + place % (len(text) - len(HEAD))
    file = tmp_path_factory.mktemp("csv") / "list.csv"
    file.write_text(text[:at] + '"' + text[at:])
    try:
        table = read_csv_table(file)
    except HemfError:
        return
    assert len(table.rows) == 10
