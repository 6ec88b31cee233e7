"""Which images a pretraining learns from: any folder's, but no test image unless asked."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hemf.core.errors import HemfError
from hemf.data.load import load_data
from hemf.data.manifest import write_data_set
from hemf.data.splits import split_data
from hemf.pretraining.images import UNLABELLED, has_labels, read_images, without_unreadable


def learnt(data) -> set[str]:
    return {s.path for s in data.subset("train")}


def test_any_folder_of_images_will_do(colours: Path, tmp_path: Path):
    flat = tmp_path / "flat"
    shutil.copytree(colours / "train" / "red", flat / "somewhere" / "below")
    shutil.copy(colours / "train" / "blue" / "00.png", flat / "here.png")
    (flat / "broken.png").write_bytes(b"no image")
    data = read_images(flat)
    assert (data.classes, has_labels(data)) == ([UNLABELLED], False)
    assert len(learnt(data)) == 22
    readable, skipped = without_unreadable(data)
    assert skipped == ["broken.png"]
    assert len(learnt(readable)) == 21
    assert readable.info["skipped"] == [{"path": "broken.png", "reason": "unreadable"}]
    assert all(readable.fingerprints[path].picture for path in learnt(readable))


def test_class_folders_keep_their_labels_and_all_are_learnt_from(colours: Path):
    data = read_images(colours / "train")
    assert data.classes == ["blue", "green", "red"]
    assert len(learnt(data)) == 50


def test_the_test_side_is_learnt_from_only_if_asked(colours: Path):
    assert all(path.startswith("train/") for path in learnt(read_images(colours)))
    assert len(learnt(read_images(colours, "all"))) == 90


def test_a_split_that_cannot_be_told_is_no_plain_folder(colours: Path, tmp_path: Path):
    """A stray image makes the folder unreadable as a split; the test images must not slip in by that."""
    tree = shutil.copytree(colours, tmp_path / "tree")
    shutil.copy(tree / "test" / "red" / "00.png", tree / "stray.png")
    with pytest.raises(HemfError, match="1 image lies beside the folders"):
        read_images(tree)


def test_folds_are_asked_for(colours: Path, tmp_path: Path):
    data = load_data(colours)
    plain = replace(data, samples=[replace(s, split="") for s in data.samples], info={})
    (tmp_path / "folds").mkdir()
    write_data_set(split_data(plain, "kfold", folds=3), tmp_path / "folds")
    with pytest.raises(HemfError, match="--fold"):
        read_images(tmp_path / "folds")
    chosen = read_images(tmp_path / "folds", fold=1)
    assert learnt(chosen) == {s.path for s in load_data(tmp_path / "folds").for_fold(1).subset("train")}
    assert len(learnt(read_images(tmp_path / "folds", "all"))) == 90


def test_nothing_to_learn_from_is_said(tmp_path: Path):
    with pytest.raises(HemfError, match=r"holds no (class folders|images)"):
        read_images(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(HemfError, match="no readable image"):
        without_unreadable(read_images(tmp_path))
