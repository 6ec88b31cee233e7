"""A verb writes over what hemf wrote, and over nothing else."""

import numpy as np
import pytest
from PIL import Image

from hemf.core.errors import HemfError
from hemf.core.outputs import beside, check_output, check_report, is_picture, is_report, is_table, png_mark


@pytest.fixture
def picture():
    return Image.fromarray(np.zeros((4, 4), np.uint8))


def test_what_is_not_there_may_be_written(tmp_path):
    check_output(tmp_path / "new.csv", is_table("path"))


def test_a_table_is_known_by_its_columns(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("path,prediction,probability,MEL\n")
    check_output(file, is_table("path", "prediction"))
    for content in ("name,age\n", "", "path\n", "\xff"):
        file.write_bytes(content.encode("latin-1"))
        with pytest.raises(HemfError, match="was not written by hemf"):
            check_output(file, is_table("path", "prediction"))


def test_a_picture_is_known_by_its_software(tmp_path, picture):
    picture.save(tmp_path / "ours.png", pnginfo=png_mark())
    check_output(tmp_path / "ours.png", is_picture)
    picture.save(tmp_path / "theirs.png")
    picture.save(tmp_path / "theirs.jpg")
    for name in ("theirs.png", "theirs.jpg"):
        with pytest.raises(HemfError, match="was not written by hemf"):
            check_output(tmp_path / name, is_picture)


def test_an_input_is_never_written_over(tmp_path, picture):
    picture.save(tmp_path / "ours.png", pnginfo=png_mark())
    (tmp_path / "other").symlink_to("ours.png")
    for name in ("ours.png", "other"):
        with pytest.raises(HemfError, match="one of the files to read"):
            check_output(tmp_path / name, is_picture, [tmp_path / "ours.png"])


def test_links_and_folders_are_not_written_over(tmp_path):
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("broken", "folder"):
        with pytest.raises(HemfError, match="choose another --out"):
            check_output(tmp_path / name, is_picture)


def test_a_report_takes_its_tables_along(tmp_path):
    report = tmp_path / "a.json"
    (tmp_path / "a.md").write_text("mine")
    with pytest.raises(HemfError, match=r"a\.md exists"):
        check_report(report, ["runs"], [".md"])
    report.write_text('{"runs": []}')
    check_report(report, ["runs"], [".md"])
    check_output(tmp_path / "a.md", beside(report, is_report("runs")))
    report.write_text("[]")
    with pytest.raises(HemfError, match=r"a\.json exists"):
        check_report(report, ["runs"], [".md"])
