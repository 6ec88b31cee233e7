"""The cache changes no bit, is never stale or half, and is built once by however many want it."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError, UnreadableImage
from hemf.data.dataset import DataSet, Sample
from hemf.data.image.jpeg import read_pixels
from hemf.data.loading import cache
from hemf.data.loading.cache import cache_folder, decoded_images
from hemf.data.loading.datamodule import ImageData
from hemf.data.manifest import write_data_set

CLASSES = ["a", "b", "c"]
QUIET = Console(quiet=True)

# Builds a cache as ``decoded_images`` does, but takes its time and notes every file it decodes.
BUILDER = """
import sys, time
from rich.console import Console
from hemf.data.loading import cache
from hemf.data.manifest import read_data_set

def slowly(path, mode, window, read=cache.read_pixels):
    with open(sys.argv[3], "a") as log:
        log.write(f"{path.name}\\n")
    time.sleep(float(sys.argv[4]))
    return read(path, mode, window)

cache.read_pixels = slowly
cache.decoded_images(read_data_set(sys.argv[1]), "RGB", cache.Path(sys.argv[2]), Console(quiet=True))
"""


def noise(path: Path, seed: int, size: tuple[int, int] = (40, 48), channels: int = 3) -> None:
    shape = (*size, channels) if channels > 1 else size
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    """Images of different sizes and kinds, in three splits."""
    root = tmp_path / "images"
    root.mkdir()
    names = [f"{i}.{'jpg' if i % 2 else 'png'}" for i in range(12)]
    for i, name in enumerate(names):
        noise(root / name, i, (20 + 5 * i, 70 - 3 * i), (3, 1, 3)[i % 3])
    noise(root / "rgba.png", 50, channels=4)
    Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60)).save(root / "wide.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(root / "0.png").save(root / "turned.jpg", exif=exif)
    names += ["rgba.png", "wide.png", "turned.jpg"]
    splits = ["train"] * 9 + ["val"] * 3 + ["test"] * 3
    samples = [Sample(n, CLASSES[i % 3], split=s) for i, (n, s) in enumerate(zip(names, splits, strict=True))]
    found = DataSet("made", CLASSES, samples, root, {})
    write_data_set(found, tmp_path / "prepared")
    return found


def build(data: DataSet, folder: Path, mode: str = "RGB") -> cache.DecodedImages:
    return decoded_images(data, mode, folder, QUIET)


def never(*_):
    raise AssertionError("an image was decoded")


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_holds_every_image_as_it_is_read(data, tmp_path, mode):
    found = build(data, tmp_path / "cache", mode)
    for sample in data.samples:
        direct = read_pixels(data.path(sample), mode)
        assert torch.equal(found.get(sample.path), direct)
        assert found.get(sample.path).stride() == direct.stride()
    assert found.bytes == found.file.stat().st_size


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_are_the_same_with_and_without(data, tmp_path, workers):
    options = {"image_size": 32, "batch_size": 4, "rotate": 10, "vflip": 0.5, "random_erasing": 0.5}
    plain = ImageData(data, RunConfig.of(**options, workers=0))
    cached = ImageData(data, RunConfig.of(**options, workers=workers), build(data, tmp_path / "cache"))
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        ours, theirs = getattr(cached, name)(), getattr(plain, name)()
        for epoch in (0, 3):
            ours.sampler.set_epoch(epoch)
            theirs.sampler.set_epoch(epoch)
            for one, other in zip(ours, theirs, strict=True):
                assert all(torch.equal(one[key], other[key]) for key in other)


def test_is_built_once_and_its_images_are_read_no_more(data, tmp_path, monkeypatch):
    first = build(data, tmp_path / "cache")
    monkeypatch.setattr(cache, "read_pixels", never)
    again = build(data, tmp_path / "cache")
    assert torch.equal(first.get("3.jpg"), again.get("3.jpg"))
    assert files(tmp_path / "cache") == [".json", ".lock", ".pixels"]


def test_another_split_of_the_same_images_shares_it(data, tmp_path, monkeypatch):
    build(data, tmp_path / "cache")
    monkeypatch.setattr(cache, "read_pixels", never)
    turned = [Sample(s.path, s.label, split="train") for s in reversed(data.samples)]
    build(DataSet("other", CLASSES, turned, data.root, {}), tmp_path / "cache")


def test_another_process_maps_the_file_itself(data, tmp_path):
    found = build(data, tmp_path / "cache")
    found.get("0.png")
    sent = pickle.dumps(found)
    assert len(sent) < found.bytes
    assert torch.equal(pickle.loads(sent).get("2.png"), found.get("2.png"))


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_file_that_changed_is_read_anew_and_the_old_cache_removed(data, tmp_path, keep_time):
    old = build(data, tmp_path / "cache")
    file = data.root / "wide.png"
    before = file.stat()
    content = bytearray(file.read_bytes())
    noise(file, 9, (10, 11))
    if keep_time:  # same size, same time of change: the time of the inode tells
        content[-20:-16] = content[-20:-16]
        file.write_bytes(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    before_removal, late = old.get("0.png"), pickle.loads(pickle.dumps(old))
    new = build(data, tmp_path / "cache")
    assert torch.equal(new.get("wide.png"), read_pixels(file))
    assert new.file != old.file
    assert not old.file.exists()
    assert torch.equal(old.get("0.png"), before_removal)  # a run that uses it keeps it
    assert late.get("0.png") is None  # a process that comes too late reads the files
    assert files(tmp_path / "cache") == [".json", ".lock", ".pixels"]


@pytest.mark.parametrize("harm", ["flip", "cut", "lost", "index"])
def test_a_damaged_cache_is_built_again(data, tmp_path, harm):
    found = build(data, tmp_path / "cache")
    whole = found.file.read_bytes()
    if harm == "flip":
        found.file.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    elif harm == "cut":
        found.file.write_bytes(whole[:-1])
    elif harm == "lost":
        found.file.unlink()
    else:
        found.file.with_suffix(".json").write_text('{"sha')
    again = build(data, tmp_path / "cache")
    assert again.file.read_bytes() == whole


def test_an_unreadable_image_is_named_when_it_is_its_turn(data, tmp_path):
    (data.root / "4.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    images = ImageData(data, RunConfig.of(image_size=32, workers=1), build(data, tmp_path / "cache"))
    list(images.val_dataloader())
    with pytest.raises(UnreadableImage, match=r"4\.png"):
        list(images.train_dataloader())


def builder(tmp_path: Path, seconds: float) -> subprocess.Popen:
    arguments = [tmp_path / "prepared", tmp_path / "cache", tmp_path / "log", seconds]
    return subprocess.Popen([sys.executable, "-c", BUILDER, *map(str, arguments)])


def decoded(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().split() if log.exists() else []


@pytest.mark.slow
def test_a_builder_that_is_killed_leaves_nothing_in_the_way(data, tmp_path):
    dying = builder(tmp_path, 0.5)
    deadline = time.monotonic() + 300
    while len(decoded(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    dying.send_signal(signal.SIGKILL)
    dying.wait()
    assert 3 <= len(decoded(tmp_path)) < len(data.samples)
    assert files(tmp_path / "cache") == [".lock", ".pixels"]  # the half one, under its temporary name
    found = build(data, tmp_path / "cache")
    assert torch.equal(found.get("11.jpg"), read_pixels(data.root / "11.jpg"))
    assert files(tmp_path / "cache") == [".json", ".lock", ".pixels"]


@pytest.mark.slow
def test_two_builders_at_once_decode_every_image_once(data, tmp_path):
    both = [builder(tmp_path, 0.1) for _ in range(2)]
    assert [one.wait(400) for one in both] == [0, 0]
    assert sorted(decoded(tmp_path)) == sorted(sample.path for sample in data.samples)


def test_a_disk_too_small_is_found_before_anything_is_written(data, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(cache, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    with pytest.raises(HemfError, match=r"needs 0\.00 GB .* free; free the disk") as raised:
        build(data, tmp_path / "cache")
    assert "\n" not in str(raised.value)
    assert files(tmp_path / "cache") == [".lock"]


def test_a_disk_that_fills_up_leaves_no_half_cache(data, tmp_path):
    code = BUILDER.replace("import sys, time", "import resource, sys, time")
    code = code.replace(
        "cache.read_pixels = ",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\ncache.read_pixels = ",
    )
    arguments = [tmp_path / "prepared", tmp_path / "cache", tmp_path / "log", 0]
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert "HemfError: cannot write" in done.stderr
    assert files(tmp_path / "cache") == [".lock"]


def test_where_it_lies(data, tmp_path):
    prepared = str(tmp_path / "prepared")
    assert cache_folder(RunConfig.of(data=prepared)) is None
    assert cache_folder(RunConfig.of(data=prepared, cache=True)) == tmp_path / "prepared" / "cache"
    assert cache_folder(RunConfig.of(data="x", cache_dir=str(tmp_path / "other"))) == tmp_path / "other"
    with pytest.raises(HemfError, match="--cache-dir"):
        cache_folder(RunConfig.of(data=str(data.root), cache=True))
