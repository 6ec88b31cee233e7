"""What lies in a folder beside the images is left out, counted and named; what is an image never is."""

import os
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.data import get_testdata_file

import hemf
from hemf.commands.data.audit import audit
from hemf.commands.data.info import info
from hemf.commands.data.prepare import prepare
from hemf.commands.explain import explain
from hemf.core.errors import HemfError
from hemf.data.load import load_data
from hemf.data.sources.folder import read_folder, side_of
from hemf.data.sources.tree import read_tree

NOISE = np.random.default_rng(0).integers(0, 256, (24, 24), np.uint8)
MASK = np.pad(np.full((8, 8), 255, np.uint8), 8)


def picture(path: Path, pixels: np.ndarray = NOISE, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def class_tree(root: Path, number: int = 10, classes: str = "ab", name: str = "{}.png") -> Path:
    for label in classes:
        for i in range(number):
            picture(root / label / name.format(i))
    return root


def signed() -> dict:
    mark = PngInfo()
    mark.add_text("Software", "hemf")
    return {"pnginfo": mark}


def touch(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def lines(root: Path) -> str:
    return "\n".join(read_folder(root).info.get("left_out", []))


def test_nothing_is_said_of_a_tidy_tree(tmp_path):
    info = read_folder(class_tree(tmp_path)).info
    assert info == {"source": "folder"}


@pytest.mark.parametrize(
    "folder",
    [
        *("@eaDir", "$RECYCLE.BIN", "$Recycle.Bin", "lost+found", ".git", "Thumbs", "__MACOSX", "#recycle"),
        *("System Volume Information", ".Trash-1000", ".ipynb_checkpoints", "@Recycle", "FOUND.000"),
    ],
)
@pytest.mark.parametrize("place", ["", "a", "a/deep/er"])
def test_folders_of_the_system_are_left_out_and_named(tmp_path, folder, place):
    class_tree(tmp_path)
    picture(tmp_path / place / folder / "x.png")
    data = load_data(tmp_path)
    assert len(data.samples) == 20
    assert data.classes == ["a", "b"]
    assert f"1 folder of the system's or hidden, {PurePosixPath(place) / folder}" in data.info["left_out"]


def test_what_is_no_image_is_counted_by_suffix(tmp_path):
    class_tree(tmp_path)
    for name in ("a/1.heic", "a/2.HEIC", "b/IM0001", "b/notes.txt", "labels.csv"):
        touch(tmp_path / name)
    touch(tmp_path / "a" / "._1.png")
    touch(tmp_path / ".DS_Store")
    assert read_folder(tmp_path).info["left_out"] == [
        "5 files that are no images hemf reads: 2 .heic, 1 .csv, 1 without a suffix, 1 .txt, such as "
        "labels.csv, a/1.heic, a/2.HEIC",
        "2 hidden files, .DS_Store, a/._1.png",
    ]


@pytest.mark.parametrize("name", ["IM0001", "scan.IMA", "1.2.840.113619.2.5", "scan.dcm"])
def test_dicom_files_without_their_suffix_are_images(tmp_path, name):
    dicom = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    tree = class_tree(tmp_path / "tree")
    touch(tree / "a" / name, dicom)
    touch(tree / "a" / "DICOMDIR", dicom)
    data = read_folder(tree)
    assert [s.path for s in data.samples if s.path.endswith(name)] == [f"a/{name}"]
    assert len(data.samples) == 21
    assert data.info["left_out"] == ["1 file that is no image hemf reads: 1 without a suffix, a/DICOMDIR"]
    assert len(prepare("folder", str(tree), str(tmp_path / "out"), resize=8).samples) == 21


def test_a_pipe_or_a_dead_link_is_not_waited_for(tmp_path):
    class_tree(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "nothing")
    assert "2 files that are no images" in lines(tmp_path)


@pytest.mark.parametrize(
    "mask",
    [
        *("{}_mask.png", "{}_mask_1.png", "{}-Mask.png", "{} mask.png", "{}Mask.png", "{}_segmentation.png"),
        *(
            "{}_Segmentation.png",
            "{}_seg.png",
            "{}_gt.png",
            "{}_ground_truth.png",
            "{}.mask.png",
            "mask_{}.png",
        ),
        *(
            "masks/{}.png",
            "masks/{}_mask.png",
            "Ground Truth/{}.png",
            "x/segmentations/{}.png",
            "{}_mask.jpg",
        ),
    ],
)
@pytest.mark.parametrize("name", ["benign (%s)", "ISIC_00%s", "%s"])
def test_masks_beside_their_images_are_left_out(tmp_path, mask, name):
    for label in "ab":
        for i in range(4):
            picture(tmp_path / label / f"{name % i}.png")
            picture(tmp_path / label / mask.format(name % i), MASK)
    data = read_folder(tmp_path)
    assert sorted(s.path for s in data.samples) == sorted(
        f"{c}/{name % i}.png" for c in "ab" for i in range(4)
    )
    assert len(data.info["left_out"]) == 1
    assert data.info["left_out"][0].startswith("8 masks or drawings of other images, such as a/")


def test_a_folder_of_masks_beside_one_of_images(tmp_path):
    """As in the COVID-19 Radiography Database, and as one class folder among others."""
    for label in "ab":
        for i in range(4):
            picture(tmp_path / label / "images" / f"{label}-{i}.png")
            picture(tmp_path / label / "masks" / f"{label}-{i}.png", MASK)
            picture(tmp_path / "all_masks" / f"{label}-{i}.png", MASK)
    data = read_folder(tmp_path)
    assert data.classes == ["a", "b"]
    assert len(data.samples) == 8
    assert data.info["left_out"][0].startswith("16 masks or drawings")
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(HemfError, match=r"single class 'a'; .*left out: 12 masks"):
        read_folder(tmp_path)


def test_a_name_alone_makes_no_mask(tmp_path):
    """A class called after masks, though its files be numbered like the others'; a mask without its image."""
    class_tree(tmp_path, classes=["with mask", "without"])
    picture(tmp_path / "without" / "99_mask.png")
    data = read_folder(tmp_path)
    assert len(data.samples) == 21
    assert "left_out" not in data.info
    assert data.info["doubts"] == [
        "11 images called like masks but taken as images, such as with mask/0.png, with mask/1.png, "
        "with mask/2.png; if masks they are, move them away"
    ]


def test_one_name_with_two_suffixes_is_a_doubt(tmp_path):
    class_tree(tmp_path)
    picture(tmp_path / "a" / "3.jpg")
    (doubt,) = read_folder(tmp_path).info["doubts"]
    assert doubt.startswith(
        "2 images of one name but for the suffix, a/3.jpg, a/3.png; if one is the other's"
    )


def test_folders_that_may_be_patients_are_a_doubt(tmp_path):
    for label in "ab":
        for i in range(6):
            picture(tmp_path / label / f"P{i // 2}" / f"{label}{i}.png")
            picture(tmp_path.parent / f"{tmp_path.name}-two" / label / "images" / f"{label}{i}.png")
    (doubt,) = read_folder(tmp_path).info["doubts"]
    assert doubt.startswith(
        "images lie in 6 folders below their class, such as a/P0, a/P1, a/P2; if these are"
    )
    assert "doubts" not in read_folder(tmp_path.parent / f"{tmp_path.name}-two").info


OWN = {
    "a run": ["config.yaml", "manifest.csv", "dataset.json", "evaluation/test/roc.png"],
    "a model": ["config.json", "model.safetensors", "x.png"],
    "an evaluation": ["metrics.json", "predictions.csv", "roc.png", "confusion-matrix.png"],
    "a prepared data set": ["manifest.csv", "dataset.json", "images/a/1.png"],
    "an audit": ["audit.json", "audit.html"],
    "a benchmark": ["results.json", "table.csv", "runs/x/seed0/config.yaml", "runs/x/seed0/manifest.csv"],
}


@pytest.mark.parametrize("name", ["runs/a", "anything", "a/inside", "deep/er/still"])
@pytest.mark.parametrize("what", OWN)
def test_what_hemf_wrote_is_no_class_whatever_it_is_called(tmp_path, what, name):
    class_tree(tmp_path)
    for file in OWN[what]:
        (picture if file.endswith(".png") else touch)(tmp_path / name / file)
    data = read_folder(tmp_path)
    assert data.classes == ["a", "b"]
    assert len(data.samples) == 20
    own = next(line for line in data.info["left_out"] if "hemf's own" in line)
    assert what in own
    assert name in own


def test_pictures_that_hemf_drew_are_known_by_their_mark(tmp_path):
    class_tree(tmp_path)
    for folder in (tmp_path / "maps", tmp_path / "a"):
        picture(folder / "h7.png", **signed())
        picture(folder / "h7-stages.png", **signed())
        touch(folder / "h7.npy")
    picture(tmp_path / "contact-sheet.png", **signed())
    data = read_folder(tmp_path)
    assert data.classes == ["a", "b"]
    assert len(data.samples) == 20
    assert "5 pictures that hemf drew, such as contact-sheet.png, a/h7-stages.png, a/h7.png" in lines(
        tmp_path
    )
    picture(tmp_path / "contact-sheet.png")
    with pytest.raises(HemfError, match=r"1 image lies beside .*contact-sheet\.png"):
        read_folder(tmp_path)


def test_what_hemf_really_writes_is_known(made_run, tmp_path, monkeypatch):
    """Heat maps, with their table and without, a contact sheet, an audit, a prepared data set, a run."""
    tree = class_tree(tmp_path / "tree")
    monkeypatch.chdir(tree)
    explain(str(made_run), ["a/0.png", "b/1.png"], out="maps", stages=True)
    explain(str(made_run), ["a/2.png"], out="more/maps")
    os.remove(tree / "maps" / "explain.csv")
    info(".", out="contact-sheet.png")
    shutil.copytree(made_run, tree / "tried" / "once")
    hemf.evaluate(str(tree / "tried" / "once"), workers=0, resamples=0)
    prepare("folder", str(tree), str(tmp_path / "out"), resize=8)
    shutil.move(tmp_path / "out", tree / "small")
    audit(".", out="looked", workers=0)
    data = load_data(".")
    assert data.classes == ["a", "b"]
    assert len(data.samples) == 20


def test_pictures_with_numbers_beside_them_are_images(tmp_path):
    class_tree(tmp_path)
    for i in range(10):
        touch(tmp_path / "a" / f"{i}.npy")
    assert len(read_folder(tmp_path).samples) == 20


def test_what_was_left_out_is_shown_and_kept(tmp_path, capsys):
    tree = class_tree(tmp_path / "tree")
    for i in range(10):
        picture(tree / "a" / f"{i}_mask.png", MASK)
    touch(tree / "b" / "scan.heic")
    prepare("folder", str(tree), str(tmp_path / "out"))
    printed = capsys.readouterr().out
    assert "left out: 10 masks or drawings of other images, such as a/0_mask.png" in printed
    assert "left out: 1 file that is no image hemf reads: 1 .heic, b/scan.heic" in printed
    assert len(load_data(tmp_path / "out").info["left_out"]) == 2


def test_a_class_folder_with_other_files_says_so(tmp_path):
    class_tree(tmp_path)
    touch(tmp_path / "c" / "1.heic")
    with pytest.raises(
        HemfError, match=r"c holds no images hemf reads \(but 1 other file, such as 1\.heic\)"
    ):
        read_folder(tmp_path)


SPLITS = {"train": 4, "val": 2, "test": 2}


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "Validation", "Test"),
        ("TRAINING", "valid", "testing"),
        ("train_set", "ValidationData", "test-images"),
        ("1 train", "2 val", "3 test"),
    ],
)
@pytest.mark.parametrize("layout", ["{side}/{label}", "{label}/{side}", "{label}/{side}/patient 1"])
def test_a_split_by_folders_is_taken_as_one_at_either_level(tmp_path, layout, names):
    for name, number in zip(names, SPLITS.values(), strict=True):
        for label in "ab":
            for i in range(number):
                picture(tmp_path / layout.format(side=name, label=label) / f"{i}.png")
    data = load_data(tmp_path)
    assert data.classes == ["a", "b"]
    assert {side: sum(row.values()) for side, row in data.counts().items()} == {
        side: 2 * number for side, number in SPLITS.items()
    }
    assert data.info["split"] == {"method": "official", "given_by": "folders"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["a/train/1.png", "a/test/2.png", "b/1.png"], r"class folders, but b/1\.png lies in none"),
        (["a/train/1.png", "a/test/2.png", "b/train/1.png", "b/2.png"], r"but b/2\.png lies in none"),
        (["a/train/1.png", "a/dev/2.png", "b/train/1.png"], "but a/dev lies in none"),
        (["a/val/1.png", "a/valid/2.png", "b/val/1.png"], "is one of two"),
        (["a/1.png", "b/1.png", "test/a/1.png"], "a names no split, but test beside it does"),
        (["a/1.png", "b/1.png", "test/1.png"], "a names no split, but test beside it does"),
        (["train/a/1.png", "train/b/1.png", "dev/a/1.png"], "dev names no split, but train"),
        (["train/a/1.png", "training/b/1.png"], "are both the train split"),
        (["train/a/1.png", "test/2.png"], r"1 image lies beside the folders in .*test, first 2\.png"),
        (["a/x/train/1.png", "a/x/test/1.png", "b/1.png"], "a/x/test looks like a split inside a class"),
        (["train/a/test/1.png", "train/b/1.png"], "train/a/test looks like a split inside a class"),
        (["fold1/a/1.png", "fold2/b/1.png"], "fold1 looks like a fold"),
        (["a/fold_1/1.png", "b/fold_2/1.png"], "a/fold_1 looks like a fold"),
        (["all/a/1.png", "all/b/1.png"], "if the classes are the folders in it, give .*/all"),
    ],
)
def test_what_only_looks_like_a_split_is_refused(tmp_path, files, words):
    for file in files:
        picture(tmp_path / file)
    with pytest.raises(HemfError, match=words) as caught:
        load_data(tmp_path)
    assert "\n" not in str(caught.value)


@given(
    side=st.sampled_from([("train", "train"), ("training", "train"), ("valid", "val"), ("test", "test")]),
    added=st.sampled_from(["", "set", "data", "images", "1", "2017"]),
    separator=st.sampled_from(["", "_", " ", "-"]),
    spell=st.sampled_from([str.lower, str.upper, str.title, str]),
)
def test_any_way_to_write_a_side(side, added, separator, spell):
    name, meant = side
    assert side_of(spell(separator.join(filter(None, (name, added))))) == meant
    assert side_of(f"{name} positive") is None


FILES = [
    *("a/1.png", "b/1.png", "a/x/2.png", "a/1_mask.png", "b/masks/1.png", "b/.x/3.png", "b/@eaDir/4.png"),
    *("a/5.heic", "a/IM1", "a/.8.png", "c/6.png", "__MACOSX/7.png"),
    *("runs/x/manifest.csv", "runs/x/config.yaml", "runs/x/9.png"),
]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(FILES), unique=True))
def test_every_file_is_an_image_or_left_out_by_name(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("tree")
    for file in files:
        (picture if file.endswith(".png") else touch)(root / file)
    tree = read_tree(root)
    out = [*tree.own, *tree.system, *tree.hidden, *tree.masks, *tree.own_pictures, *tree.other]
    for file in map(PurePosixPath, files):
        assert (file in tree.images) != any(file.is_relative_to(one) for one in out), file
