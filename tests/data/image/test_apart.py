"""An image that takes too long, too much memory or its decoder's life costs that image only."""

import contextlib
import io
import os
import time

import numpy as np
import pytest
from damaged_images import BOMBS, many_scans
from PIL import Image

from hemf.core.errors import UnreadableImage
from hemf.data.image import apart
from hemf.data.image.apart import decode_apart
from hemf.data.image.effort import QUICK_SCANS
from hemf.data.image.jpeg import read_pixels
from hemf.data.image.read import decode_image, read_image

QUICK = (
    *("grey16-170-megapixels.png", "grey8-400-megapixels.png", "bits-5-gigapixels.png", "widest.png"),
    *("tallest.png", "largest.png", "3000-scans.jpg", "largest.jpg", "tiles.tif", "grey16.tif", "pages.tif"),
    *("largest.tif", "largest.gif", "frames.gif", "largest.webp", "largest.bmp", "largest.ppm"),
    "too-large.avif",
)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8)


def test_the_other_process_gives_the_same(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    Image.fromarray(picture()[..., 0].astype(np.uint16) * 9).save(tmp_path / "b.tif")
    for name in ("a.png", "b.tif"):
        for mode in ("RGB", "L"):
            here, there = (read(tmp_path / name, mode) for read in (decode_image, decode_apart))
            assert np.array_equal(here[0], there[0])
            assert here[1:] == there[1:]


def test_errors_of_the_other_process_are_the_same(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    for path in (tmp_path / "a.png", tmp_path / "none\n.png"):
        with pytest.raises(UnreadableImage) as here:
            read_image(path)
        with pytest.raises(UnreadableImage) as there:
            decode_apart(path)
        assert str(here.value) == str(there.value)


def test_an_image_that_takes_too_long_is_given_up_and_the_next_one_read(tmp_path, monkeypatch):
    scans = QUICK_SCANS // 2000**2 + 200
    (tmp_path / "long.jpg").write_bytes(many_scans(scans))
    Image.fromarray(picture()).save(tmp_path / "a.png")
    decode_apart(tmp_path / "a.png")  # the process has started
    monkeypatch.setattr(apart, "SECONDS", 0.05)
    start = time.monotonic()
    with pytest.raises(UnreadableImage, match=r"long\.jpg takes longer than 0 seconds to read"):
        read_image(tmp_path / "long.jpg")
    assert time.monotonic() - start < 20
    monkeypatch.undo()
    assert np.array_equal(decode_apart(tmp_path / "a.png")[0], picture())


def test_a_decoder_that_dies_costs_its_image_only(tmp_path, monkeypatch):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    ask = apart._ask

    def dying(process, request, data):
        process.kill()
        return ask(process, request, data)

    monkeypatch.setattr(apart, "_ask", dying)
    with pytest.raises(UnreadableImage, match=r"a\.png is damaged \(it ends the process that reads it\)"):
        decode_apart(tmp_path / "a.png")
    monkeypatch.undo()
    assert np.array_equal(decode_apart(tmp_path / "a.png")[0], picture())


def test_modules_of_the_current_folder_are_not_run(tmp_path, monkeypatch):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    for name in ("json", "numpy", "hemf", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w'); raise SystemExit")
    monkeypatch.chdir(tmp_path)
    apart._processes.close()
    decode_apart(tmp_path / "a.png")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", QUICK)
def test_bombs_are_refused_from_their_header(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    with pytest.raises(UnreadableImage) as refused:
        read_pixels(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(BOMBS) - set(QUICK)))
def test_other_bombs_are_read_or_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    with contextlib.suppress(UnreadableImage):
        read_pixels(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UnreadableImage, match="is no file"):
        read_image(tmp_path / "a.png")


def test_jpeg_files_of_usual_scans_are_read_here(tmp_path, monkeypatch):
    file = io.BytesIO()
    Image.fromarray(picture().repeat(20, 0).repeat(20, 1)).save(file, "JPEG", progressive=True)
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    monkeypatch.setattr(apart, "_start", None)
    read_image(tmp_path / "a.jpg")
    read_pixels(tmp_path / "a.jpg")
