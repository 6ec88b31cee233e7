"""Fingerprints know files again, and only those; what cannot be known is None."""

import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hemf.commands.data.prepare import prepare
from hemf.core.errors import HemfError
from hemf.data import fingerprints
from hemf.data.dataset import DataSet
from hemf.data.fingerprints import FILE, changed_files, read_fingerprints, take_fingerprints
from hemf.data.load import load_data
from hemf.data.manifest import read_data_set, write_data_set


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    """Twenty images of noise, as uncompressed files of one size."""
    rng = np.random.default_rng(0)
    for i in range(20):
        folder = tmp_path / "tree" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(folder / f"{i:02}.bmp")
    return load_data(tmp_path / "tree")


def test_written_and_read_back(data: DataSet, tmp_path: Path) -> None:
    taken = replace(data, fingerprints=take_fingerprints(data))
    write_data_set(taken, tmp_path / "saved")
    again = read_data_set(tmp_path / "saved")
    assert again.fingerprints == taken.fingerprints
    assert again.files_hash == taken.files_hash is not None
    assert all(one.hashes.shape == (11, 4) for one in again.fingerprints.values())
    with open(tmp_path / "saved" / "fingerprints.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [s.path for s in data.samples]
    assert max(len(row["picture"]) for row in rows) < 500  # hashes, and no picture
    write_data_set(data, tmp_path / "saved")
    assert not (tmp_path / "saved" / "fingerprints.csv").exists()  # those of another state say nothing


def test_a_file_is_known_by_its_content_alone(data: DataSet, tmp_path: Path) -> None:
    assert changed_files(data) is None
    data = replace(data, fingerprints=take_fingerprints(data))
    assert changed_files(data) == []
    first, second, third = (data.path(s) for s in data.samples[:3])
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)  # of the same size
    second.unlink()
    third.touch()
    assert changed_files(data) == [s.path for s in data.samples[:2]]
    moved = replace(data, root=Path(shutil.move(data.root, tmp_path / "moved")))
    assert changed_files(moved, moved.samples[2:]) == []


def test_only_what_is_new_is_decoded_and_only_in_time(data: DataSet, monkeypatch) -> None:
    data = replace(data, fingerprints=take_fingerprints(data))
    data.path(data.samples[0]).write_bytes(data.path(data.samples[1]).read_bytes())
    late = take_fingerprints(data, seconds=-1)
    assert [one.picture == "" for one in late.values()] == [True] + [False] * 19
    assert late[data.samples[0].path].sha256 == data.fingerprints[data.samples[1].path].sha256
    now = take_fingerprints(data)
    assert now[data.samples[0].path] == data.fingerprints[data.samples[1].path]


def test_an_unreadable_image_has_no_picture_and_stops_nothing(data: DataSet) -> None:
    data.path(data.samples[0]).write_bytes(b"no image")
    first, *others = take_fingerprints(data).values()
    assert (first.bytes, first.picture) == (8, "")
    assert all(one.picture for one in others)


@pytest.mark.parametrize(
    "row", ["a/0.png,x,{sha},", "a/0.png,3,{sha}0,", "a/0.png,3,{sha},%%%", "a/0.png,3,{sha},AAAA", "a", '"a']
)
def test_a_damaged_file_is_named(tmp_path: Path, row: str) -> None:
    file = tmp_path / "fingerprints.csv"
    file.write_text("path,bytes,sha256,picture\n" + row.format(sha="0" * 64))
    with pytest.raises(HemfError, match=r"fingerprints\.csv is damaged"):
        read_fingerprints(file)


@pytest.mark.parametrize("resize", [None, 16])
def test_prepare_takes_them_of_the_files_that_training_reads(data: DataSet, tmp_path: Path, resize) -> None:
    prepare("folder", str(data.root), str(tmp_path / "out"), resize=resize)
    made = load_data(tmp_path / "out")
    assert changed_files(made) == []
    assert all(one.picture for one in made.fingerprints.values())


def test_preparing_anew_shows_in_the_files_hash_and_not_in_that_of_the_list(
    data: DataSet, tmp_path: Path
) -> None:
    first = prepare("folder", str(data.root), str(tmp_path / "out"), resize=16)
    second = prepare("folder", str(data.root), str(tmp_path / "out"), resize=8, overwrite=True)
    assert first.hash == second.hash
    assert first.files_hash != second.files_hash
    assert len(changed_files(replace(first, root=second.root))) == 20


@pytest.mark.parametrize("limit", ["MOST_ROWS", "MOST_BYTES"])
def test_a_file_beyond_its_limits_is_refused_in_a_line(tmp_path: Path, monkeypatch, limit: str) -> None:
    row = f"{{}},1,{'a' * 64},\n"
    (tmp_path / FILE).write_text("path,bytes,sha256,picture\n" + "".join(map(row.format, range(4))))
    assert len(read_fingerprints(tmp_path / FILE)) == 4
    monkeypatch.setattr(fingerprints, limit, 3)
    with pytest.raises(HemfError, match=r"fingerprints\.csv.* more than 3.* or remove it"):
        read_fingerprints(tmp_path / FILE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(HemfError, match=r"fingerprints\.csv is not a regular file"):
        read_fingerprints(tmp_path / FILE)
