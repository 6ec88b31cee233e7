"""A split that leaves a side, or a class of one, without images says so where it is made, with the mend."""

import pytest
from PIL import Image

from hemf.commands.data.prepare import prepare
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.data.checks.gaps import all_in_training
from hemf.data.load import load_data
from hemf.data.loading.datamodule import ImageData
from hemf.data.summary import notes


@pytest.fixture
def table(tmp_path):
    """Writes a CSV of 24 images with the columns that are given as functions of the image's number."""
    for i in range(24):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")

    def write(head, *columns):
        rows = [",".join([f"{i}.png", *(str(column(i)) for column in columns)]) for i in range(24)]
        (tmp_path / "list.csv").write_text("\n".join([f"path,{head}", *rows]) + "\n")
        return str(tmp_path / "list.csv")

    return write


@pytest.mark.parametrize(
    ("head", "columns", "words"),
    [
        (
            "label,patient",
            (lambda i: "ab"[i % 2], lambda i: "ANON"),
            r"no image of list is left for val and test: all 24 show one patient or the like \('ANON'\); .*"
            r"--split stratified \(or a CSV with --group-column none\)",
        ),
        (
            "label",
            (lambda i: f"grade{i // 2:02d}",),
            "its 12 classes have 2 to 2 images, too few to part; add",
        ),
        (
            "label,patient",
            (lambda i: "ab"[i // 12], lambda i: f"p{i // 12}"),
            "2 patients or the like are too few to part; .*grouped-kfold",
        ),
    ],
)
def test_what_leaves_all_in_training_is_refused_at_prepare_and_at_train(
    table, tmp_path, head, columns, words
):
    file = table(head, *columns)
    with pytest.raises(HemfError, match=words) as caught:
        prepare("csv", file, str(tmp_path / "out"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    data = load_data(file)  # to look at it, with hemf data info
    assert {s.split for s in data.samples} == {"train"}
    with pytest.raises(HemfError, match=words):
        ImageData(data, RunConfig()).setup("fit")


def test_the_mend_works(table, tmp_path, capsys):
    file = table("label,patient", lambda i: "ab"[i % 2], lambda i: "ANON")
    for name, option in (("one", {"split": "stratified"}), ("two", {"group_column": "none"})):
        data = prepare("csv", file, str(tmp_path / name), **option)
        assert {s.split for s in data.samples} == {"train", "val", "test"}
    assert "warning" not in capsys.readouterr().out


def test_a_side_without_images_is_a_warning(table, tmp_path, capsys):
    """Of three patients two train and one tests, and none is left to validate on."""
    file = table("label,patient", lambda i: "ab"[i % 2], lambda i: f"p{i % 3}")
    prepare("csv", file, str(tmp_path / "out"))
    said = capsys.readouterr().out
    assert "warning: no image of list is left for val: 3 patients or the like are too few to part" in said


def test_a_class_that_a_side_lacks_is_a_warning(table, tmp_path, capsys):
    prepare("csv", table("label", lambda i: "rare" if i < 2 else "ab"[i % 2]), str(tmp_path / "out"))
    said = capsys.readouterr().out
    assert "warning: no val images of 1 of the 3 classes (rare); nothing can be said of them there" in said
    assert "warning: no test images of 1 of the 3 classes (rare)" in said


def test_a_given_split_without_validation_images_says_what_to_do(table, tmp_path, capsys):
    file = table("label,split", lambda i: "ab"[i % 2], lambda i: "test" if i > 15 else "train")
    prepare("csv", file, str(tmp_path / "out"))
    assert (
        "warning: list has no images to validate on; hemf data prepare --val 0.1" in capsys.readouterr().out
    )
    prepare("csv", file, str(tmp_path / "with"), val=0.2)
    assert "warning" not in capsys.readouterr().out


def test_what_is_meant_to_test_alone_lacks_nothing(table):
    data = load_data(table("label,split", lambda i: "ab"[i % 2], lambda i: "test"))
    assert notes(data) == ["rows read: 24; no column names groups; columns kept as metadata: none"]
    assert all_in_training(data) == ""


def test_shares_of_nothing_are_no_gap(table, tmp_path, capsys):
    data = prepare("csv", table("label", lambda i: "ab"[i % 2]), str(tmp_path / "out"), val=0, test=0)
    assert {s.split for s in data.samples} == {"train"}
    assert "warning: list has no images" not in capsys.readouterr().out
