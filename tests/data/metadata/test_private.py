"""What may tell who a patient is stays out of a manifest, unless it is asked for by name."""

import pytest

from hemf.core.errors import HemfError
from hemf.data.metadata.private import kept_columns, why_private

N = 60


def column(of: object) -> list[str]:
    return [str(of(i)) if callable(of) else str(of) for i in range(N)]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("PatientName", "x", "names"),
        ("last_name", "x", "names"),
        ("DOB", "x", "dates"),
        ("birthDate", "x", "dates"),
        ("StudyDate", "x", "dates"),
        ("acquired", lambda i: f"2019-03-{i % 28 + 1:02d}", "dates"),
        ("acquired", lambda i: f"{i % 28 + 1}.3.1987 10:00", "dates"),
        ("lesion_id", lambda i: f"L{i // 2}", "identifiers"),
        ("mrn", lambda i: 10**6 + i, "identifiers"),
        ("reference", lambda i: 10**6 + i, "identifiers"),
        ("who", lambda i: f"HAM_{i // 4}", "identifiers"),
        ("e-mail", "x", "contact details"),
        ("sent to", lambda i: f"a{i}@b.org", "contact details"),
        ("notes", lambda i: f"seen on Monday, number {i}", "a text for each image"),
    ],
)
def test_what_may_identify_is_known_by_name_or_values(name: str, value: object, kind: str) -> None:
    assert why_private(name, column(value), 2) == kind


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("age", lambda i: 20 + i * 7 % 61),
        ("sex", lambda i: "fm"[i % 2]),
        ("localization", lambda i: ["back", "lower extremity", "", "face"][i % 4]),
        ("device", "Dermlite 3"),
        ("manufacturer", lambda i: f"ACME {i % 3}"),
        ("exposure", lambda i: i / 7),
        ("year", lambda i: 2010 + i % 9),
    ],
)
def test_what_describes_a_patient_or_an_image_is_kept(name: str, value: object) -> None:
    assert why_private(name, column(value), 2) is None


COLUMNS = {"age": column(lambda i: 20 + i), "dob": column("1950-01-01"), "Group": column("x")}


def test_asked_for_by_name_a_column_is_kept_whatever_it_holds() -> None:
    assert kept_columns(COLUMNS, ["group"], 2) == (
        ["age"],
        {"dob": "may hold dates", "Group": "a name of hemf's own"},
    )
    assert kept_columns(COLUMNS, ["group"], 2, "dob, age")[0] == ["dob", "age"]
    assert kept_columns(COLUMNS, ["group"], 2, "none") == ([], dict.fromkeys(COLUMNS, "not asked for"))
    with pytest.raises(HemfError, match="no column 'sex' for --columns; there are age, dob, Group"):
        kept_columns(COLUMNS, ["group"], 2, "age,sex")
    with pytest.raises(HemfError, match=r"'Group' has a name of hemf's own.*rename it"):
        kept_columns(COLUMNS, ["group"], 2, "Group")
