"""What is prepared is whole, says what it is, and never overwrites what it should not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hemf.commands.data.prepare import prepare
from hemf.core.errors import HemfError
from hemf.data.image.read import read_image
from hemf.data.load import load_data
from hemf.data.sources import SOURCES


def class_tree(root: Path, number: int = 10, size: tuple[int, int] = (30, 20)) -> Path:
    rng = np.random.default_rng(0)
    for label in "ab":
        (root / label).mkdir(parents=True)
        for i in range(number):
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.{'jpg' if i % 2 else 'png'}")
    return root


WRITTEN = {"dataset.json", "fingerprints.csv", "manifest.csv"}


@pytest.fixture
def tree(tmp_path) -> Path:
    return class_tree(tmp_path / "tree")


def left_over(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def test_a_folder_becomes_a_prepared_data_set(tree, tmp_path, capsys):
    data = prepare("folder", str(tree), str(tmp_path / "out"))
    assert load_data(tmp_path / "out") == data
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "dataset.json",
        "fingerprints.csv",
        "manifest.csv",
    ]
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert about["classes"] == ["a", "b"]
    assert about["counts"]["test"] == {"a": 2, "b": 2}
    assert about["hash"] == data.hash
    assert about["split"] == {
        "method": "stratified",
        "seed": 0,
        "ratios": {"train": 0.7, "val": 0.1, "test": 0.2},
    }
    printed = capsys.readouterr().out
    assert "tree: 20 images" in printed
    assert "groups: none known" in printed
    assert "split: stratified (seed 0, train 0.7, val 0.1, test 0.2)" in printed
    assert f"hemf train --data {tmp_path / 'out'}" in printed


def test_a_csv_with_groups(tree, tmp_path, capsys):
    rows = [f"{label}/{i}.{'jpg' if i % 2 else 'png'},{label},p{i // 2}" for label in "ab" for i in range(10)]
    (tree / "all.csv").write_text("path,label,patient\n" + "\n".join(rows))
    data = prepare("csv", str(tree / "all.csv"), str(tmp_path / "out"))
    assert data.info["split"]["method"] == "grouped"
    assert not data.leaking_groups()
    prepare("csv", str(tree / "all.csv"), str(tmp_path / "leaky"), split="kfold", folds=2)
    printed = capsys.readouterr().out
    assert "none on two sides" in printed
    assert "LEAKAGE: 5 on two or more sides; of the images, 10 of 10 in fold 0, 10 of 10 in fold 1" in printed
    assert "--folds 2" in printed


def test_resized_images_are_small_and_faithful(tmp_path):
    tree = class_tree(tmp_path / "tree", 2, size=(60, 40))
    Image.new("L", (9, 7), 77).save(tree / "a" / "small.png")
    Image.fromarray(np.full((50, 100), 1000, np.uint16)).save(tree / "a" / "grey.tif")
    Image.effect_noise((80, 40), 30).save(tree / "a" / "grey.bmp")
    data = prepare("folder", str(tree), str(tmp_path / "out"), resize=10)
    assert data.root == tmp_path / "out" / "images"
    assert load_data(tmp_path / "out") == data
    sizes = {s.path: read_image(data.path(s)).size for s in data.samples}
    assert sizes == {
        "a/0.png": (15, 10),
        "a/1.jpg": (15, 10),
        "a/grey.bmp.png": (20, 10),
        "a/grey.tif.png": (20, 10),
        "a/small.png": (9, 7),
        "b/0.png": (15, 10),
        "b/1.jpg": (15, 10),
    }
    assert (tmp_path / "out" / "images" / "a" / "small.png").read_bytes() == (
        tree / "a" / "small.png"
    ).read_bytes()
    shrunk = Image.open(tree / "a" / "0.png").resize((15, 10), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(read_image(data.root / "a" / "0.png")), np.asarray(shrunk))


def test_an_unreadable_image_stops_or_is_left_out_by_name(tree, tmp_path, capsys):
    for name in ("3.jpg", "4.png"):
        whole = (tree / "a" / name).read_bytes()
        (tree / "a" / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HemfError, match=r"a/3.jpg is damaged .* --skip-unreadable \(1 more cannot be read\)"):
        prepare("folder", str(tree), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    data = prepare("folder", str(tree), str(tmp_path / "out"), skip_unreadable=True)
    assert len(data.samples) == 18
    skipped = load_data(tmp_path / "out").info["skipped"]
    assert [left["path"] for left in skipped] == ["a/3.jpg", "a/4.png"]
    printed = capsys.readouterr().out
    assert "3.jpg is damaged" in printed
    assert "left out 2 unreadable of 20 images" in printed
    for i in range(10):
        (tree / "b" / f"{i}.{'jpg' if i % 2 else 'png'}").write_bytes(b"no image")
    with pytest.raises(HemfError, match="class 'b' of tree has no images"):
        prepare("folder", str(tree), str(tmp_path / "out2"), skip_unreadable=True)


def test_nothing_is_overwritten_unasked(tree, tmp_path):
    out = tmp_path / "out"
    first = prepare("folder", str(tree), str(out), resize=10)
    with pytest.raises(HemfError, match="give --overwrite to replace it"):
        prepare("folder", str(tree), str(out))
    (out / "notes.txt").write_text("mine")
    second = prepare("folder", str(tree), str(out), seed=1, overwrite=True)
    assert second.hash != first.hash
    assert load_data(out) == second
    assert sorted(p.name for p in out.iterdir()) == [
        "dataset.json",
        "fingerprints.csv",
        "manifest.csv",
        "notes.txt",
    ]
    assert left_over(tmp_path) == []
    out.rename(tmp_path / ".out-replaced")  # as a run leaves it that is killed while it replaces
    prepare("folder", str(tree), str(out), overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert left_over(tmp_path) == []
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(HemfError, match="exists and is not a prepared data set"):
        prepare("folder", str(tree), str(tmp_path / "other"), overwrite=True)


def test_out_and_root_do_not_lie_in_one_another(tree, tmp_path):
    for out in (tree / "prepared", tree, tmp_path):
        with pytest.raises(HemfError, match="would lie inside one another"):
            prepare("folder", str(tree), str(out))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "imagenet"}, "no source 'imagenet'; give one of covid-ct, "),
        ({}, "give its place with --root"),
        ({"root": "nowhere"}, "nothing at nowhere"),
        ({"root": ""}, "where is the data"),
        ({"download": True}, "no publisher to download from"),
        ({"root": ".", "resize": 0}, "cannot resize to 0"),
        ({"root": ".", "split": "grouped"}, "names no patients"),
    ],
)
def test_bad_options_are_explained(tree, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tree)
    with pytest.raises(HemfError, match=words):
        prepare(**{"source": "folder", "out": str(tmp_path / "out")} | options)
    assert not (tmp_path / "out").exists()


def test_a_release_without_the_file_that_names_groups_is_not_split_by_chance(tmp_path):
    images = tmp_path / "covid" / "Images-processed"
    for label in ("COVID", "NonCOVID"):
        (images / f"CT_{label}").mkdir(parents=True)
        for i in range(10):
            Image.new("L", (8, 8), i).save(images / f"CT_{label}" / f"{i}.png")
    call = {"source": "covid-ct", "root": str(tmp_path / "covid"), "out": str(tmp_path / "out")}
    with pytest.raises(HemfError, match="expected 746"):
        prepare(**call)
    with pytest.raises(HemfError, match="lacks the file that names the patients"):
        prepare(**call, check_counts=False)
    data = prepare(**call, check_counts=False, split="stratified")
    assert data.info["licence"].startswith("none stated")


def test_kvasir_as_published_and_with_a_validation_part(tmp_path):
    from hemf.data.sources.kvasir import CLASSES

    for label in CLASSES:
        (tmp_path / "kvasir-dataset" / label).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (8, 8)).save(tmp_path / "kvasir-dataset" / label / f"{i}.jpg")
    for val, left in ((None, 40), (0.1, 32)):
        out = tmp_path / f"out {val}"
        prepare("kvasir", str(tmp_path), str(out), split="paper", val=val, check_counts=False)
        for fold in (0, 1):
            data = load_data(out).for_fold(fold)
            assert [len(data.subset(name)) for name in ("train", "val", "test")] == [left, 40 - left, 40]


def test_killed_half_way_it_leaves_nothing_and_starts_again(tmp_path):
    class_tree(tmp_path / "tree", 40, size=(300, 300))
    what = "prepare('folder', 'tree', 'out', resize=150, workers=1)"
    call = f"from hemf.commands.data.prepare import prepare; {what}"
    process = subprocess.Popen([sys.executable, "-c", call], cwd=tmp_path, stdout=subprocess.DEVNULL)
    images = tmp_path / ".out-partial" / "images"
    while not images.exists() or len(list(images.rglob("*.*"))) < 5:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    subprocess.run([sys.executable, "-c", call], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert len(load_data(tmp_path / "out").samples) == 80
    assert left_over(tmp_path) == []


def test_every_source_is_in_the_help():
    assert all(name in prepare.__doc__ for name in SOURCES)


@pytest.mark.real
def test_covid_ct_prepared_small(real_data, tmp_path):
    data = prepare(
        "covid-ct", str(real_data / "covid-ct"), str(tmp_path / "out"), split="official", resize=64
    )
    assert data.info["skipped"] == []
    assert [len(data.subset(name)) for name in ("train", "val", "test")] == [425, 118, 203]
    assert max(min(read_image(data.path(s)).size) for s in data.samples[::20]) == 64


def whose(tree: Path) -> Path:
    """A CSV of the tree's images whose patients stand in a column of no usual name, two images each."""
    rows = [f"{label}/{i}.{'jpg' if i % 2 else 'png'},{label},P{i // 2}" for label in "ab" for i in range(10)]
    (tree / "all.csv").write_text("path,label,who\n" + "\n".join(rows) + "\n")
    return tree / "all.csv"


def test_the_column_of_the_patients_may_be_named(tree, tmp_path, capsys):
    file = whose(tree)
    with pytest.raises(HemfError, match=r"column 'who' .* looks like patients .*--group-column who,"):
        prepare("csv", str(file), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    data = prepare("csv", str(file), str(tmp_path / "out"), group_column="who")
    assert data.groups == 5
    assert not data.leaking_groups()
    assert "rows read: 20; groups: column who; columns kept as metadata: none" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["rows"] == 20
    data = prepare("csv", str(file), str(tmp_path / "none"), group_column="none")
    assert data.groups == 0
    shown = capsys.readouterr().out
    assert "rows read: 20; no column names groups; columns kept as metadata: none" in shown
    assert "columns left out: who (may hold identifiers); hemf data prepare --columns keeps" in shown
    with pytest.raises(HemfError, match="no column 'whom' for --group-column; it has who"):
        prepare("csv", str(file), str(tmp_path / "out2"), group_column="whom")
    with pytest.raises(HemfError, match="source folder has none"):
        prepare("folder", str(tree), str(tmp_path / "out2"), group_column="who")


@pytest.mark.parametrize(("name", "kind"), [("tree", "folder"), ("tree/all.csv", "csv")])
def test_data_where_its_kind_goes_leads_to_the_command(tree, tmp_path, monkeypatch, name, kind):
    whose(tree)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HemfError, match=f"own images: hemf data prepare {kind} --root {name}"):
        prepare(name)


def test_likely_slips_are_named(tree, tmp_path, capsys):
    (tree / "A").mkdir()
    for i in range(10):
        Image.new("L", (8, 8), i).save(tree / "A" / f"{i}.png")
    prepare("folder", str(tree), str(tmp_path / "out"))
    assert "warning: likely a slip, classes that differ only in how they are written: 'A' and 'a'" in (
        capsys.readouterr().out
    )


def test_overwriting_leaves_images_that_are_none_of_its_own(tree, tmp_path):
    out = tmp_path / "out"
    prepare("folder", str(tree), str(out))
    (out / "images").mkdir()
    (out / "images" / "mine.png").write_bytes(b"mine")
    with pytest.raises(HemfError, match="is none of the prepared data set"):
        prepare("folder", str(tree), str(out), resize=8, overwrite=True)
    assert (out / "images" / "mine.png").read_bytes() == b"mine"
    (out / "images" / "mine.png").unlink()
    (out / "images").rmdir()
    prepare("folder", str(tree), str(out), resize=8, overwrite=True)
    prepare("folder", str(tree), str(out), resize=10, overwrite=True)  # its own images it may replace


def test_columns_are_kept_as_asked(tree, tmp_path):
    file = whose(tree)
    rows = file.read_text().splitlines()
    site = ["site", *("arm" if i % 3 else "leg" for i in range(20))]
    file.write_text("\n".join(f"{row},{one}" for row, one in zip(rows, site, strict=True)))
    data = prepare("csv", str(file), str(tmp_path / "auto"), group_column="who")
    assert data.column_names == ["site"]
    assert data.columns[0].counts == {"arm": 13, "leg": 7}
    asked = prepare("csv", str(file), str(tmp_path / "who"), group_column="none", columns="who")
    assert asked.column_names == ["who"]
    assert asked.column("who")[:4] == ["P0", "P0", "P1", "P1"]
    assert not prepare("csv", str(file), str(tmp_path / "no"), group_column="who", columns="none").columns
    with pytest.raises(HemfError, match="no column 'site' for --columns; there are none"):
        prepare("folder", str(tree), str(tmp_path / "folder"), columns="site")
