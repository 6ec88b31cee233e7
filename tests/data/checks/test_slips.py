"""Names that are one name written twice are found, and others are not."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemf.data.checks.slips import likely_slips
from hemf.data.dataset import DataSet, Sample
from hemf.data.summary import notes


@pytest.mark.parametrize(
    "names",
    [
        ("benign", "Benign"),
        ("caf\u00e9", "cafe\u0301"),
        ("benign", " benign "),
        ("benign", "benign\u200b"),
        ("basal cell", "basal  cell"),
        ("basal cell", "basal_cell", "basal-cell"),
        ("0", "0.0"),
        ("1", "01", "1.00", "+1"),
        ("stra\u00dfe", "STRASSE"),
    ],
)
def test_slips(names):
    assert likely_slips([*names, *names, "other"]) == [sorted(names)]


@pytest.mark.parametrize(
    "names", [("ER+", "ER-", "ER"), ("0", "1", "10"), ("a", "\u00e4"), ("grade 1", "grade 11")]
)
def test_no_slips(names):
    assert likely_slips(names) == []


@given(st.text(min_size=1, max_size=8).filter(lambda text: text.strip()))
def test_case_form_and_spaces_of_any_name(name):
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        other = f" {unicodedata.normalize(form, name)}\n"
        assert likely_slips([name, other]) == [sorted({name, other})]
    lower = {name.casefold(), name.casefold().upper().casefold()}
    assert likely_slips([name.casefold(), *lower]) == ([sorted(lower)] if len(lower) > 1 else [])


@given(st.integers(0, 10**12))
def test_numbers_however_they_are_written(number):
    written = {str(number), f"{number}.0", f"{number}.", f"0{number}"}
    assert likely_slips([*written, str(number + 1)]) == [sorted(written)]


def test_slips_of_classes_and_of_patients_are_named(tmp_path):
    samples = [Sample("1", "0", "p1"), Sample("2", "0.0", "P1"), Sample("3", "1", "p2\x1b[31m")]
    lines = notes(DataSet("few", ["0", "0.0", "1"], samples, tmp_path))
    assert lines == [
        "warning: likely a slip, classes that differ only in how they are written: '0' and '0.0'",
        "warning: likely a slip, groups that differ only in how they are written: 'P1' and 'p1'",
    ]
