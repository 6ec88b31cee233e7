"""Check lists: every item of each standard, facts that exist, and what a run fills in."""

import re
import shutil

import pytest

import hemf
from hemf.checklists.make import FACTS, read_standard, standards
from hemf.core.errors import HemfError

NUMBERS = {
    "claim-2024": [str(n) for n in range(1, 45)],
    "tripod-ai": [
        *(
            "1",
            "2",
            "3a",
            "3b",
            "3c",
            "4",
            "5a",
            "5b",
            "6a",
            "6b",
            "6c",
            "7",
            "8a",
            "8b",
            "8c",
            "9a",
            "9b",
            "9c",
        ),
        *("10", "11", "12a", "12b", "12c", "12d", "12e", "12f", "12g", "13", "14", "15", "16", "17"),
        *("18a", "18b", "18c", "18d", "18e", "18f", "19", "20a", "20b", "20c", "21", "22", "23a", "23b"),
        *("24", "25", "26", "27a", "27b", "27c"),
    ],
    "stard-ai": [
        *map(str, range(1, 15)),
        *("15a", "15b", "15c", "15d", "16a", "16b", "16c", "17a", "17b"),
        *map(str, range(18, 26)),
        *("26a", "26b"),
        *map(str, range(27, 40)),
        *("40a", "40b"),
    ],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_standard_has_every_item_and_only_facts_that_there_are(name):
    about = read_standard(name)
    assert [item["n"] for item in about["items"]] == NUMBERS[name]
    for item in about["items"]:
        assert set(item) == {"n", "section", "asks", "facts"}
        assert item["asks"].endswith((".", "?"))
        assert set(item["facts"]) <= set(FACTS)
    assert {"name", "title", "citation", "doi", "numbering"} <= set(about)


def test_all_facts_are_asked_for_and_all_standards_are_known():
    assert set(standards()) == set(NUMBERS)
    asked = {fact for name in NUMBERS for item in read_standard(name)["items"] for fact in item["facts"]}
    assert asked == set(FACTS)
    with pytest.raises(HemfError, match="no standard 'claim'"):
        read_standard("claim")


@pytest.mark.parametrize("standard", NUMBERS)
def test_a_run_fills_in_what_it_knows(made_run, standard, capsys):
    before = hemf.checklist(str(made_run), standard=standard)
    assert "hemf evaluate" in capsys.readouterr().out
    hemf.evaluate(str(made_run), resamples=50, workers=0, device="cpu")
    found = hemf.checklist(str(made_run), standard=standard)  # its own files may be replaced
    assert found.open <= before.open
    assert [item.number for item in found.items] == NUMBERS[standard]
    said = "\n".join(line for item in found.items for line in item.answers)
    assert re.search(r"accuracy 0\.\d{3} ", said)
    assert re.search(r"stratified bootstrap of (\d+ )?(patients or lesions|images), 50 resamples", said)
    assert "On noise" not in said, "the run's own data are no external data"
    text = (made_run / "checklists" / f"{standard}.md").read_text()
    assert text.count("\n### ") == len(found.items)
    assert text.count("- [ ] ") == found.open > 10
    assert f"{found.open} are left to a person" in text
    page = (made_run / "checklists" / f"{standard}.html").read_text()
    assert page.count("To be answered by a person.") == found.open


def test_external_data_groups_and_warnings_are_told(made_run, tmp_path):
    hemf.evaluate(str(made_run), data=str(made_run), split="val", resamples=0, workers=0, device="cpu")
    found = {item.number: item for item in hemf.checklist(str(made_run)).items}
    assert any("patients or lesions are on two sides" in line for line in found["20"].answers)
    assert any("noise" in line for line in found["33"].answers)
    assert not found["3"].answers


def test_what_a_user_wrote_stays(made_run, tmp_path):
    (tmp_path / "claim-2024.md").write_text("my own notes")
    with pytest.raises(HemfError, match="was not written by hemf"):
        hemf.checklist(str(made_run), out=str(tmp_path))
    assert (tmp_path / "claim-2024.md").read_text() == "my own notes"
    hemf.checklist(str(made_run))
    with open(made_run / "checklists" / "claim-2024.md", "a") as file:
        file.write("answered\n")
    with pytest.raises(HemfError, match="was not written by hemf"):
        hemf.checklist(str(made_run))
    alone = str(shutil.copytree(made_run / "model", tmp_path / "alone"))
    with pytest.raises(HemfError, match="without its run"):
        hemf.checklist(alone)
