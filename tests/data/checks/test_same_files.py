"""One file under two names is one image, whichever way the names lead to it."""

import os
import shutil

import pytest
from PIL import Image

from hemf.core.errors import HemfError
from hemf.data.checks.same_files import same_files
from hemf.data.dataset import DataSet, Sample
from hemf.data.load import load_data


@pytest.fixture
def tree(tmp_path):
    for label in "ab":
        (tmp_path / "tree" / label).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (4, 4), i).save(tmp_path / "tree" / label / f"{i}.png")
    return tmp_path / "tree"


def soft(tree):
    (tree / "b" / "x.png").symlink_to("../a/3.png")


def soft_soft(tree):
    (tree / "b" / "w.png").symlink_to(tree / "b" / "x.png")
    (tree / "b" / "x.png").symlink_to(tree / "a" / "3.png")


def hard(tree):
    os.link(tree / "a" / "3.png", tree / "b" / "x.png")


def folder(tree):
    (tree / "b" / "sub").symlink_to(tree / "a", target_is_directory=True)


def outside(tree):
    shutil.move(tree / "a" / "3.png", tree.parent / "3.png")
    for place in ("a/3.png", "b/x.png"):
        (tree / place).symlink_to(tree.parent / "3.png")


@pytest.mark.parametrize("link", [soft, soft_soft, hard, folder, outside])
def test_one_image_under_two_labels_by_a_link_is_refused(tree, link):
    link(tree)
    with pytest.raises(
        HemfError, match=r"a/\d.png and b/.*png in .* are one file.* under two labels, a and b"
    ):
        load_data(tree)


def test_one_image_twice_in_a_class_is_refused_too(tree):
    os.link(tree / "a" / "3.png", tree / "a" / "again.png")
    with pytest.raises(
        HemfError, match=r"a/3.png and a/again.png in .* are one file, by a link or by spelling; "
    ):
        load_data(tree)


@pytest.mark.parametrize("spelling", ["./a/3.png", "a/../a/3.png", "a//3.png", "b/../a/3.png", "{}/a/3.png"])
def test_two_spellings_of_a_path_are_one_image(tree, spelling):
    rows = ["a/3.png,x", f"{spelling.format(tree)},y", "b/1.png,y"]
    (tree / "list.csv").write_text("\n".join(["path,label", *rows]))
    with pytest.raises(HemfError, match=r"lists 1 image twice, first a/3.png"):
        load_data(tree / "list.csv")
    samples = [Sample("a/3.png", "x"), Sample(spelling.format(tree), "y")]
    with pytest.raises(HemfError, match="are one file"):
        DataSet("two", ["x", "y"], samples, tree).check(files=True)


def test_links_to_different_files_are_fine(tree):
    for i in range(10):
        (tree / "a" / f"{i}.png").rename(tree.parent / f"{i}.png")
        (tree / "a" / f"{i}.png").symlink_to(tree.parent / f"{i}.png")
    assert len(load_data(tree).samples) == 20


def test_what_is_missing_is_left_out(tree):
    (tree / "a" / "dead.png").symlink_to("nothing")
    paths = ["a/dead.png", "a/gone.png", "nowhere/1.png", "a/1.png", "b/1.png"]
    assert same_files(tree, paths) == []
