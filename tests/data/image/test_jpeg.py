"""The fast decoder gives Pillow's pixels, and leaves to Pillow what only Pillow can judge."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hemf.core.errors import UnreadableImage
from hemf.data.image import jpeg
from hemf.data.image.jpeg import read_pixels
from hemf.data.image.read import find_images, read_image
from hemf.data.tensor_transforms import as_pixels


def picture(seed: int = 0, shape: tuple[int, ...] = (37, 53, 3)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (shape[0] // 8 + 1, shape[1] // 8 + 1, *shape[2:]))
    return Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)[: shape[0], : shape[1]].astype(np.uint8))


def outcome(read: Callable[[Path], torch.Tensor], path: Path) -> str | list:
    """Every pixel, or why there is none."""
    try:
        return read(path).tolist()
    except UnreadableImage as error:
        return str(error)


def check(path: Path) -> None:
    """Both modes, and the memory layout on which the bits of a resized crop depend."""
    for mode in ("RGB", "L"):
        ours, theirs = read_pixels(path, mode), as_pixels(read_image(path, mode))
        assert torch.equal(ours, theirs)
        assert ours.stride() == theirs.stride()


@pytest.mark.parametrize("shape", [(37, 53, 3), (37, 53), (1, 1, 3), (8, 200, 3)])
@pytest.mark.parametrize(
    "how",
    [
        {"quality": 30},
        {"quality": 95, "subsampling": 0},
        {"subsampling": 1},
        {"progressive": True},
        {"restart_marker_blocks": 3},
    ],
)
def test_plain_jpeg_files_have_pillows_pixels(tmp_path, shape, how):
    picture(shape=shape).save(tmp_path / "a.jpg", **how)
    check(tmp_path / "a.jpg")


def test_plain_jpeg_files_are_not_left_to_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(jpeg, "read_image", None)
    for name, shape in (("a.jpg", (37, 53, 3)), ("b.JPEG", (20, 30)), ("really-jpeg.png", (20, 30, 3))):
        picture(shape=shape).save(tmp_path / name, "JPEG")
        read_pixels(tmp_path / name)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture().save(tmp_path / f"a.{suffix}", exif=exif)
    check(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L"])
def test_other_kinds_of_jpeg(tmp_path, mode):
    picture().convert(mode).save(tmp_path / "a.jpg")
    check(tmp_path / "a.jpg")


def test_what_is_no_jpeg(tmp_path):
    picture().save(tmp_path / "a.png")
    picture().convert("P").save(tmp_path / "palette.png")
    picture(shape=(9, 9, 4)).save(tmp_path / "rgba.png")
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(tmp_path / "wide.png")
    picture().save(tmp_path / "b.bmp")
    (tmp_path / "a.png").rename(tmp_path / "really-png.jpg")
    for path in tmp_path.iterdir():
        check(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"no image", None])
def test_errors_are_those_of_read_image(tmp_path, content):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImage) as theirs:
        read_image(path)
    with pytest.raises(UnreadableImage) as ours:
        read_pixels(path)
    assert str(ours.value) == str(theirs.value)


def test_damaged_files_are_read_or_refused_as_pillow_does(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "a.jpg"
    whole = io.BytesIO()
    picture().save(whole, "JPEG", quality=80)
    for number in range(150):
        data = bytearray(whole.getvalue())
        for place in rng.integers(0, len(data), 1 + number % 3):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data))] if number % 2 else data)
        ours, theirs = outcome(read_pixels, path), outcome(lambda file: as_pixels(read_image(file)), path)
        assert ours == theirs


def test_a_decoder_that_gives_other_pixels_is_not_used(tmp_path, monkeypatch):
    picture().save(tmp_path / "a.jpg")
    real = jpeg.decode_jpeg
    monkeypatch.setattr(jpeg, "decode_jpeg", lambda *args, **how: real(*args, **how) ^ 1)
    jpeg._same_decoder.cache_clear()
    check(tmp_path / "a.jpg")
    jpeg._same_decoder.cache_clear()


@pytest.mark.real
def test_real_images(real_data):
    folders = real_data / "covid-ct" / "Images-processed", real_data / "isic2018"
    for path in find_images(folders[0])[::40] + find_images(folders[1])[::1500]:
        check(path)
