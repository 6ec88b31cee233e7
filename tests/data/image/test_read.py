"""Every kind of image file becomes an upright 8-bit picture, or is named with the reason and the mend."""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hemf.core.errors import HemfError, UnreadableImage
from hemf.data.image.decode import ImageBytes
from hemf.data.image.limits import MAX_PIXELS, set_max_pixels
from hemf.data.image.read import decode_image, find_images, inspect_image, read_image

SIZE = st.tuples(st.integers(1, 40), st.integers(1, 40))
PER_FOLDER = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def noise(size: tuple[int, int], channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random bytes, height x width x channels, of an image ``size`` = (width, height)."""
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def pixels(path: Path, mode: str = "RGB") -> np.ndarray:
    return np.asarray(read_image(path, mode))


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "bmp", "webp"])
@PER_FOLDER
@given(size=SIZE, seed=st.integers(0, 99))
def test_lossless_colour_keeps_its_values(tmp_path, suffix, size, seed):
    values = noise(size, seed=seed)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(values).save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert np.array_equal(pixels(path), values)
    assert inspect_image(path) == (size, "RGB")


def test_avif_is_read_as_pillow_reads_it_and_on_black(tmp_path):
    smooth = np.add.outer(np.arange(60), np.arange(80)).astype(np.uint8)
    alpha = np.repeat(np.uint8([[0], [255]]), [30, 30], axis=0) * np.ones((1, 80), np.uint8)
    picture = Image.fromarray(np.dstack([smooth, smooth, smooth, alpha]))
    picture.convert("RGB").save(tmp_path / "a.avif", quality=100, subsampling="4:4:4")
    picture.save(tmp_path / "b.avif", quality=100, subsampling="4:4:4")
    with Image.open(tmp_path / "a.avif") as opened:
        assert np.array_equal(pixels(tmp_path / "a.avif"), np.asarray(opened))
    assert inspect_image(tmp_path / "a.avif") == ((80, 60), "RGB")
    assert np.abs(pixels(tmp_path / "a.avif", "L").astype(int) - smooth).max() <= 3
    assert not pixels(tmp_path / "b.avif")[:29].any()
    assert np.abs(pixels(tmp_path / "b.avif", "L")[31:].astype(int) - smooth[31:]).max() <= 4


@pytest.mark.parametrize("suffix", ["jpg", "jpeg"])
def test_jpeg(tmp_path, suffix):
    smooth = np.add.outer(np.arange(60), np.arange(80)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / f"a.{suffix}", quality=95)
    assert np.abs(pixels(tmp_path / f"a.{suffix}", "L").astype(int) - smooth).max() <= 3
    Image.fromarray(np.stack([smooth] * 4, -1), "CMYK").save(tmp_path / f"b.{suffix}")
    assert pixels(tmp_path / f"b.{suffix}").shape == (60, 80, 3)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@PER_FOLDER
@given(size=SIZE)
def test_grey_of_8_bits_keeps_its_values_in_every_channel(tmp_path, suffix, size):
    values = noise(size, 1) // 3
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(pixels(tmp_path / f"a.{suffix}", "L"), values)
    assert np.array_equal(pixels(tmp_path / f"a.{suffix}"), np.stack([values] * 3, -1))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_one_bit_is_black_and_white(tmp_path, suffix):
    values = noise((17, 9), 1) > 127
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(pixels(tmp_path / f"a.{suffix}", "L"), values * np.uint8(255))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
@PER_FOLDER
@given(low=st.integers(0, 60000), reach=st.integers(1, 5000), size=SIZE, seed=st.integers(0, 9))
def test_grey_of_16_bits_fills_the_range_from_its_least_to_its_greatest_value(
    tmp_path, suffix, low, reach, size, seed
):
    values = np.random.default_rng(seed).integers(low, low + reach + 1, size[::-1]).astype(np.uint16)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(values).save(path)
    spread = np.ptp(values)
    expected = np.rint((values - values.min()) * (255 / spread)) if spread else np.zeros(values.shape)
    if suffix == "pgm":  # Pillow takes the file's declared greatest value into account before we do
        assert np.abs(pixels(path, "L") - expected).max() <= 1
    else:
        assert np.array_equal(pixels(path, "L"), expected)


def test_twelve_bits_in_sixteen_are_neither_black_nor_clipped(tmp_path):
    values = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.abs(pixels(tmp_path / "a.png", "L") - values / 4095 * 255).max() <= 0.51


@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
@pytest.mark.parametrize("white_first", [False, True])
def test_16_bit_tiffs_of_either_byte_order_and_either_zero(tmp_path, byte_order, white_first):
    values = np.arange(0, 6000, 10).reshape(20, 30).astype(np.uint16)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(values.astype(byte_order), white_first))
    expected = np.rint(values * (255 / values.max()))
    try:
        read = pixels(path, "L")
    except UnreadableImage:
        assert byte_order == ">u2"
        assert white_first  # which Pillow does not open
    else:
        assert np.array_equal(read, 255 - expected if white_first else expected)


def tiff(values: np.ndarray, white_first: bool) -> bytes:
    """An uncompressed 16-bit TIFF, written from its specification."""
    order = "<" if values.dtype.str[0] == "<" else ">"
    entries = [
        (256, values.shape[1]),
        (257, values.shape[0]),
        (258, 16),
        (259, 1),
        (262, 0 if white_first else 1),
    ]
    entries += [(273, 8), (277, 1), (278, values.shape[0]), (279, values.nbytes)]
    head = np.array([42], f"{order}u2").tobytes() + np.array([8 + values.nbytes], f"{order}u4").tobytes()
    directory = b"".join(
        np.array([tag, 4], f"{order}u2").tobytes() + np.array([1, value], f"{order}u4").tobytes()
        for tag, value in entries
    )
    count = np.array([len(entries)], f"{order}u2").tobytes()
    return (b"II" if order == "<" else b"MM") + head + values.tobytes() + count + directory + b"\0\0\0\0"


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_grey_of_32_bits_is_stretched_too(tmp_path, dtype):
    values = np.array([[-1000, 0], [500, 1000]], dtype)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert pixels(tmp_path / "a.tif", "L").tolist() == [[0, 128], [191, 255]]


def test_grey_that_is_not_a_number_is_refused(tmp_path):
    Image.fromarray(np.array([[0, np.nan]], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match=r"a\.tif.*not finite"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGBA", "png"), ("RGBA", "webp"), ("RGBA", "tif"), ("LA", "png")]
)
@PER_FOLDER
@given(size=SIZE, seed=st.integers(0, 9))
def test_transparent_pixels_lie_on_black(tmp_path, mode, suffix, size, seed):
    values = noise(size, len(mode), seed)
    path = tmp_path / f"a.{suffix}"
    exact = {"lossless": True, "exact": True} if suffix == "webp" else {}
    Image.fromarray(values, mode).save(path, **exact)
    colour, alpha = values[..., :-1].astype(int), values[..., -1:].astype(int)
    assert np.abs(pixels(path) - colour * alpha / 255).max() <= 1


def test_palettes_with_and_without_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png", transparency=1)
    image.save(tmp_path / "c.gif")
    red, green, blue, black = [255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]
    assert pixels(tmp_path / "a.png").tolist() == [[red, green], [blue, green]]
    assert pixels(tmp_path / "b.png").tolist() == [[red, black], [blue, black]]
    assert pixels(tmp_path / "c.gif").tolist() == [[red, green], [blue, green]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_the_orientation_of_the_camera_is_applied(tmp_path, orientation, suffix):
    upright = np.zeros((24, 40), np.uint8)
    upright[:8, :20], upright[16:, 20:] = 255, 128
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=95)
    assert np.abs(pixels(path, "L").astype(int) - upright).max() <= 12


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_opaque_image_with_transparency_is_what_lies_on_black(tmp_path, mode):
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    values[:, :, 3] = 255
    opaque = Image.fromarray(values)
    opaque.save(tmp_path / "a.png")
    black = Image.new("RGBA", opaque.size, (0, 0, 0, 255))
    black.alpha_composite(opaque)
    assert np.array_equal(pixels(tmp_path / "a.png", mode), np.asarray(black.convert(mode)))


def test_the_orientation_reaches_wide_grey_and_transparent_images(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.array([[0, 300, 600]], np.uint16)).save(tmp_path / "a.png", exif=exif)
    assert pixels(tmp_path / "a.png", "L").tolist() == [[0], [128], [255]]
    Image.fromarray(np.array([[[9, 255], [8, 255]]], np.uint8), "LA").save(tmp_path / "b.png", exif=exif)
    assert pixels(tmp_path / "b.png", "L").tolist() == [[9], [8]]


def test_the_content_decides_not_the_suffix(tmp_path):
    values = noise((8, 6))
    Image.fromarray(values).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(pixels(tmp_path / "a.jpg"), values)


def refused(path: Path, words: str) -> None:
    for read in (read_image, inspect_image):
        with pytest.raises(UnreadableImage, match=words) as raised:
            read(path)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


def test_what_is_no_image_is_named_with_the_reason(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    refused(tmp_path / "empty.png", "empty file")
    refused(tmp_path / "text.png", "not an image")
    refused(tmp_path / "page.eps", "not an image")
    refused(tmp_path / "absent.png", "no image")
    refused(tmp_path, "folder")
    refused(tmp_path / "text.png" / "a.png", "damaged|no image")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_files_cut_short_are_refused(tmp_path, suffix, share):
    Image.fromarray(noise((120, 90))).save(tmp_path / f"a.{suffix}")
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"a.{suffix}").write_bytes(whole[: int(share * len(whole))])
    refused(tmp_path / f"a.{suffix}", "damaged|not an image")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
@PER_FOLDER
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_crashes(tmp_path, suffix, data):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise((24, 16))).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read_image(path)
    except UnreadableImage:
        refused(path, "damaged|not an image|pages|pixels")


def test_stacks_and_animations_are_refused(tmp_path):
    first, second = (Image.fromarray(noise((8, 8), seed=i)) for i in (1, 2))
    for suffix in ("tif", "gif", "webp", "png", "avif"):
        first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
        refused(tmp_path / f"a.{suffix}", "2 pages")


def test_pictures_larger_than_the_limit_are_refused(tmp_path):
    Image.fromarray(noise((40, 40))).save(tmp_path / "a.png")
    try:
        set_max_pixels(1500)
        refused(tmp_path / "a.png", "40 x 40 pixels and of its kind at most 1,500 are read.*--max-pixels")
    finally:
        set_max_pixels(MAX_PIXELS)
    assert pixels(tmp_path / "a.png").shape == (40, 40, 3)


def test_images_are_found_below_a_folder_in_order_whatever_the_case_of_the_suffix(tmp_path):
    for name in ("b/2.PNG", "b/1.jpg", "a.TIFF", "c/d/x.webp", "notes.txt", "b/._1.jpg", "c/e.bmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [p.relative_to(tmp_path).as_posix() for p in find_images(tmp_path)]
    assert found == ["a.TIFF", "b/1.jpg", "b/2.PNG", "c/d/x.webp", "c/e.bmp"]
    with pytest.raises(HemfError, match="no folder"):
        find_images(tmp_path / "absent")


def test_every_suffix_of_a_format_that_is_read_is_found_and_no_other(tmp_path):
    images = (
        "a.avif",
        "a.jfif",
        "b.JPE",
        "c.jp2",
        "d.j2k",
        "e.pgm",
        "f.ppm",
        "g.gif",
        "h.dib",
        "i.webp",
        "j.Tif",
    )
    others = ("Thumbs.db", "k.pdf", "l.eps", "m.ico", "n.mpg", "o.h5", "p.psd", "q.csv", "r.png.txt", "s")
    for name in (*images, *others):
        (tmp_path / name).touch()
    assert [path.name for path in find_images(tmp_path)] == list(images)


def test_hidden_folders_hold_no_images_and_links_in_circles_end(tmp_path):
    for name in ("a/1.png", "a/.thumbnails/1.png", "elsewhere/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "circle").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    found = [p.relative_to(tmp_path).as_posix() for p in find_images(tmp_path / "a")]
    assert found == ["a/1.png", "a/link/2.png"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(HemfError, match=r"cannot read the folder .*closed: Permission denied"):
        find_images(tmp_path)


@pytest.mark.real
def test_all_images_of_covid_ct(real_data):
    paths = find_images(real_data / "covid-ct" / "Images-processed")
    modes = Counter()
    for path in paths:
        size, mode = inspect_image(path)
        modes[mode] += 1
        image = read_image(path)
        assert image.mode == "RGB"
        assert image.size == size
        assert 0 < np.asarray(image).mean() < 255
    assert modes == {"RGB": 528, "RGBA": 174, "L": 44}


@pytest.mark.real
def test_a_real_image_in_every_format(real_data, tmp_path):
    source = next(
        p for p in find_images(real_data / "covid-ct" / "Images-processed") if inspect_image(p)[1] == "L"
    )
    reference = pixels(source)
    shutil.copy(source, tmp_path / "a%20 b.png")
    assert np.array_equal(pixels(tmp_path / "a%20 b.png"), reference)
    for suffix in ("bmp", "tif", "png"):
        read_image(source).save(tmp_path / f"a.{suffix}")
        assert np.array_equal(pixels(tmp_path / f"a.{suffix}"), reference)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "avif"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_file_in_memory_is_read_as_on_disk(tmp_path, suffix, mode):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise((56, 40))).save(path)
    found = decode_image(ImageBytes(path.name, path.read_bytes()), mode)  # AVIF in a process of its own
    wanted = decode_image(path, mode)
    assert np.array_equal(found[0], wanted[0])
    assert found[1:] == wanted[1:]


def test_faults_of_a_file_in_memory_are_those_of_a_file(tmp_path):
    for data in (b"", b"no image", b"\0" * 128 + b"DICM"):
        (tmp_path / "a.png").write_bytes(data)
        said = []
        for source in (tmp_path / "a.png", ImageBytes("a.png", data)):
            with pytest.raises(UnreadableImage) as refused:
                read_image(source)
            said.append(str(refused.value).replace(f"{tmp_path}/", ""))
        assert said[0] == said[1]
