"""TIFF of every number, channel, order, packing and codec reads to its value, or is refused in a line."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from damaged_images import plain_tiff

from hemf.core.errors import UnreadableImage
from hemf.data.image.read import read_image

CODECS = ((None, None), ("lzw", None), ("adobe_deflate", True), ("packbits", None))
TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", "u8", "i8")


def pixels(path: Path, mode: str = "RGB") -> np.ndarray:
    return np.asarray(read_image(path, mode)).astype(int)


def noise(dtype: str, *shape: int) -> np.ndarray:
    """The whole range of a type; of 64 bits what its greatest neighbours can tell apart."""
    rng, kind = np.random.default_rng(len(shape)), np.dtype(dtype)
    if kind.kind == "f":
        return rng.uniform(-1, 1, shape).astype(kind)
    about = np.iinfo(kind)
    return rng.integers(about.min, about.max, shape, kind, endpoint=True)


def stretched(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return np.rint((values - values.min()) * (255 / (values.max() - values.min()))).astype(int)


def written(path: Path, values: np.ndarray, order: str, **how: object) -> np.ndarray:
    """Write by tifffile; what a second reading gives is what was written."""
    kind = values.dtype.newbyteorder(order)
    tifffile.imwrite(path, values.astype(kind), byteorder=order, metadata=None, **how)
    assert np.array_equal(tifffile.imread(path), values)
    return values


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_of_every_number_order_codec_and_tiling(tmp_path, dtype, photometric):
    values = noise(dtype, 40, 56)
    expected = values.astype(int) if dtype == "u1" else stretched(values)
    expected = 255 - expected if photometric == "miniswhite" else expected
    for order in "<>":
        for compression, predictor in CODECS:
            for tile in (None, (16, 16)):
                path = tmp_path / "a.tif"
                try:
                    how = {"compression": compression, "predictor": predictor, "tile": tile}
                    written(path, values, order, photometric=photometric, **how)
                except (ValueError, NotImplementedError):  # no such predictor of this number
                    continue
                found = pixels(path, "L")
                assert np.abs(found - expected).max() <= 1, (order, compression, tile)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
@pytest.mark.parametrize("extra", [None, "unspecified", "assocalpha", "unassalpha"])
def test_colour_of_every_width_with_every_further_channel(tmp_path, planar, dtype, extra):
    values = noise(dtype, 24, 40, 3 if extra is None else 4)
    if extra == "assocalpha":  # whose colours are at most as bright as they are opaque
        values[..., :3] = np.minimum(values[..., :3], values[..., 3:])
    levels = (values >> (8 * np.dtype(dtype).itemsize - 8)).astype(int)
    expected = levels[..., :3]
    if extra == "unassalpha":
        expected = np.rint(expected * (levels[..., 3:] / 255))
    more = {"photometric": "rgb", "planarconfig": planar} | ({"extrasamples": [extra]} if extra else {})
    stored = np.ascontiguousarray(np.moveaxis(values, -1, 0) if planar == "separate" else values)
    for order in "<>":
        for compression in (None, "lzw"):
            written(tmp_path / "a.tif", stored, order, compression=compression, **more)
            assert np.abs(pixels(tmp_path / "a.tif") - expected).max() <= 1, (order, compression)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_grey_with_alpha_lies_on_black_and_is_stretched_by_what_is_seen(tmp_path, planar, dtype):
    values, alpha = noise(dtype, 24, 40), np.zeros((24, 40), dtype)
    alpha[:, 20:] = 1 if dtype == "f4" else np.iinfo(dtype).max
    values[:, :20] = values.max()
    expected = np.where(alpha > 0, values if dtype == "u1" else 0, 0).astype(int)
    if dtype != "u1":
        expected[:, 20:] = stretched(values[:, 20:])
    stored = np.stack([values, alpha], 0 if planar == "separate" else -1)
    how = {"photometric": "minisblack", "extrasamples": ["unassalpha"], "planarconfig": planar}
    for order in "<>":
        written(tmp_path / "a.tif", stored, order, **how)
        assert np.abs(pixels(tmp_path / "a.tif", "L") - expected).max() <= 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
def test_narrow_samples_are_unpacked(tmp_path, order, bits):
    values = (
        np.random.default_rng(0).integers(0, 2**bits, (9, 21)).astype(np.uint8 if bits < 9 else np.uint16)
    )
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    digits = (
        values[..., None] >> np.arange(bits - 1, -1, -1) & 1
    )  # the highest first, whatever the byte order
    packed = np.packbits(digits.reshape(9, -1).astype(bool), axis=1)
    sizes = {256: (4, 21), 279: (4, packed.nbytes)}
    content = plain_tiff(packed, bits=bits, more=sizes, order=order)
    (tmp_path / "a.tif").write_bytes(content)
    if order == "<":
        assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), values)
    assert np.abs(pixels(tmp_path / "a.tif", "L") - values * (255 / (2**bits - 1))).max() <= 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("white_first", [False, True])
def test_twelve_bits_may_stand_in_a_word_each(tmp_path, order, white_first):
    values = np.linspace(0, 4095, 40 * 56).reshape(40, 56).astype(f"{order}u2")
    (tmp_path / "a.tif").write_bytes(plain_tiff(values, 0 if white_first else 1, bits=12))
    expected = stretched(values)
    assert np.array_equal(pixels(tmp_path / "a.tif", "L"), 255 - expected if white_first else expected)


def test_colour_of_twelve_bits_in_sixteen_is_not_black(tmp_path):
    values = noise("u2", 24, 40, 3) >> 4
    written(tmp_path / "a.tif", values, "<", photometric="rgb")
    assert np.array_equal(pixels(tmp_path / "a.tif"), values >> 4)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("apart", [False, True])
def test_floating_colour_from_0_to_1_has_its_256_levels(tmp_path, dtype, samples, apart):
    values = np.random.default_rng(0).random((24, 40, samples)).astype(dtype)
    extra = ["unassalpha"] * (samples - 3)
    stored, how = (values.transpose(2, 0, 1), "separate") if apart else (values, "contig")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=how, extrasamples=extra)
    second = tifffile.imread(tmp_path / "a.tif").astype(np.float64)
    second = second.transpose(1, 2, 0) if apart else second
    seen = np.rint(second[..., :3] * 255) * (second[..., 3:] if samples == 4 else 1)
    assert np.abs(pixels(tmp_path / "a.tif") - seen).max() <= 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_holds_for_wide_kinds_too(tmp_path, orientation):
    values = np.arange(48, dtype=np.float64).reshape(6, 8)
    for dtype in ("u2", "f8"):
        (tmp_path / f"{dtype}.tif").write_bytes(
            plain_tiff(values.astype(dtype), more={274: (3, orientation)})
        )
    assert np.array_equal(pixels(tmp_path / "u2.tif"), pixels(tmp_path / "f8.tif"))


@pytest.mark.parametrize(
    ("values", "photometric", "words"),
    [
        (np.full((6, 8, 3), 1.01, np.float32), 2, "colour of float32 numbers, not all from 0 to 1"),
        (np.full((6, 8, 3), -0.01, np.float64), 2, "colour of float64 numbers, not all from 0 to 1"),
        (np.full((6, 8, 3), np.inf, np.float32), 2, "not finite"),
        (np.zeros((6, 8, 3), np.int16), 2, "colour of int16"),
        (np.zeros((6, 8, 5), np.uint16), 1, "5 samples of 16 bits"),
        (np.zeros((6, 8), np.complex64), 1, "complex64"),
        (np.zeros((6, 8), np.uint16), 3, "not read"),
        (np.full((6, 8), np.nan, np.float64), 1, "not finite"),
    ],
)
def test_what_has_no_one_reading_is_refused_in_a_line(tmp_path, values, photometric, words):
    path = tmp_path / "a.tif"
    if values.dtype.kind == "c":
        tifffile.imwrite(path, values, metadata=None)
    else:
        path.write_bytes(plain_tiff(values, photometric))
    with pytest.raises(UnreadableImage, match=words) as refused:
        read_image(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_pages_of_wide_kinds_are_refused(tmp_path):
    stack = io.BytesIO()
    tifffile.imwrite(stack, np.zeros((3, 6, 8)), photometric="minisblack", metadata=None)
    (tmp_path / "a.tif").write_bytes(stack.getvalue())
    with pytest.raises(UnreadableImage, match="3 pages"):
        read_image(tmp_path / "a.tif")
