"""``hemf data info`` counts, measures, names damaged files and draws a contact sheet."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hemf.commands.data.info import info, survey
from hemf.core.errors import HemfError
from hemf.data.contact_sheet import contact_sheet
from hemf.data.dataset import DataSet, Sample
from hemf.data.load import load_data
from hemf.data.manifest import write_data_set

COLOURS = {"red [a]": (200, 0, 0), "blue": (0, 0, 200)}


@pytest.fixture
def tree(tmp_path) -> Path:
    """Twelve images of two classes and three sizes, in train, val and test."""
    for number in range(12):
        label = list(COLOURS)[number % 2]
        folder = tmp_path / "tree" / ("train", "val", "test")[number % 3] / label
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + 10 * (number // 4), 16), COLOURS[label]).save(folder / f"{number:02d}.png")
    return tmp_path / "tree"


def grouped(tree: Path) -> DataSet:
    data = load_data(tree)
    groups = ["p1", "p1", "p1", "p2", "p2", "p3", "", "", "", "", "", ""]
    data.samples = [Sample(s.path, s.label, g, s.split) for s, g in zip(data.samples, groups, strict=True)]
    return data


def words(text: str) -> str:
    """Text without the lines of a table and runs of blanks."""
    return " ".join("".join(c if c.isprintable() and not "─" <= c <= "╿" else " " for c in text).split())


def test_tables_of_counts_and_sizes(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tree)
    before = sorted(tree.rglob("*"))
    assert info(".") == 0
    shown = words(capsys.readouterr().out)
    assert "red [a] 2 2 2 6 50.0 %" in shown
    assert "all classes 4 4 4 12 100.0 %" in shown
    assert "width 20 30 40" in shown
    assert "height 16 16 16" in shown
    assert "RGB 12" in shown
    assert "groups: none known" in shown
    assert "contact sheet: none; give --out FILE.png for one" in shown
    assert sorted(tree.rglob("*")) == before, "nothing is written among the user's images unasked"


def test_groups_and_those_on_two_sides(tree, tmp_path, capsys):
    write_data_set(grouped(tree), tmp_path / "prepared")
    info(str(tmp_path / "prepared"))
    shown = words(capsys.readouterr().out)
    data = load_data(tmp_path / "prepared")
    assert "groups: 3 of 1 to 3 images (median 2)" in shown
    assert "6 images without a known one" in shown
    assert f"{len(data.leaking_groups())} on two or more sides" in shown or "none on two sides" in shown
    assert (tmp_path / "prepared" / "contact-sheet.png").is_file()


def test_unreadable_files_are_named_counted_and_change_the_exit_code(tree, tmp_path, capsys):
    bad = sorted(tree.rglob("*.png"))[:2]
    bad[0].write_bytes(b"nothing")
    bad[1].write_bytes(bad[1].read_bytes()[:50])
    assert info(str(tree), out=str(tmp_path / "sheet.png")) == 1
    shown = words(capsys.readouterr().out)
    assert "2 of 12 images cannot be read" in shown
    assert all(str(path) in shown for path in bad)
    found = survey(load_data(tree))
    assert len(found.unreadable) == 2
    assert len(found.widths) == len(found.heights) == found.modes["RGB"] == 10


def test_where_the_contact_sheet_goes(tree, tmp_path):
    info(str(tree), out=str(tmp_path))
    assert Image.open(tmp_path / "contact-sheet.png").format == "PNG"
    with pytest.raises(HemfError, match=r"sheet\.png instead"):
        info(str(tree), out=str(tmp_path / "sheet.jpg"))


def test_the_contact_sheet_shows_every_class_in_its_own_row(tree):
    sheet = np.asarray(contact_sheet(load_data(tree), columns=4)).astype(int)
    red = (sheet == (200, 0, 0)).all(-1)
    blue = (sheet == (0, 0, 200)).all(-1)
    assert red.any()
    assert blue.any()
    red_rows, blue_rows = np.flatnonzero(red.any(1)), np.flatnonzero(blue.any(1))
    assert red_rows.max() < blue_rows.min() or blue_rows.max() < red_rows.min()


def test_the_contact_sheet_goes_round_damaged_images(tree):
    whole = np.asarray(contact_sheet(load_data(tree), columns=3))
    next(tree.rglob("*.png")).write_bytes(b"nothing")
    assert np.array_equal(whole.shape, np.asarray(contact_sheet(load_data(tree), columns=3)).shape)


@pytest.mark.real
def test_covid_ct_as_a_tree_of_class_folders(real_data, tmp_path, capsys):
    assert info(str(real_data / "covid-ct" / "Images-processed"), out=str(tmp_path / "sheet.png")) == 0
    shown = words(capsys.readouterr().out)
    assert "RGB 528, RGBA 174, L 44" in shown
    assert "349" in shown
    assert "397" in shown
    assert Image.open(tmp_path / "sheet.png").size[1] > 300


def test_columns_by_class_and_by_side_of_the_split(tree, tmp_path, capsys):
    data = load_data(tree)
    for i, s in enumerate(data.samples):
        s.metadata.update({"age": str(20 + i) if i else "", "site": "arm" if s.label == "blue" else "leg"})
    write_data_set(data, tmp_path / "prepared")
    info(str(tmp_path / "prepared"))
    shown = words(capsys.readouterr().out)
    assert "age number 11 1" in shown
    assert "site category 2 0" in shown
    assert "site blue red [a] train val test arm 6 0 2 2 2 leg 0 6 2 2 2" in shown
    assert "side train 24.75 25.5 26.25 0" in shown
    assert "side test 21.5 22 22.5 1" in shown
