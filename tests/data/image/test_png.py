"""PNG of 16 bits in every type of colour, and sound ones whose texts and profiles are large."""

import io
import struct
import zlib

import numpy as np
import pytest
from damaged_images import chunk, png
from PIL import Image

from hemf.data.image.read import read_image

HEIGHT, WIDTH = 24, 40


def filtered(values: np.ndarray) -> bytes:
    """Rows of samples, compressed; each row by another of the five filters."""
    rows = values.astype(">u2").reshape(len(values), -1).view(np.uint8).astype(int)
    step, above, data = 2 * (values.shape[2] if values.ndim == 3 else 1), np.zeros(rows.shape[1], int), b""
    for number, row in enumerate(rows):
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        corner = np.concatenate([np.zeros(step, int), above[:-step]])
        distance = [abs(left + above - corner - one) for one in (left, above, corner)]
        paeth = np.where(
            (distance[0] <= distance[1]) & (distance[0] <= distance[2]),
            left,
            np.where(distance[1] <= distance[2], above, corner),
        )
        guess = [0, left, above, (left + above) // 2, paeth][number % 5]
        data += bytes([number % 5]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    return zlib.compress(data)


def read(tmp_path, content: bytes, mode: str = "RGB") -> np.ndarray:
    (tmp_path / "a.png").write_bytes(content)
    return np.asarray(read_image(tmp_path / "a.png", mode)).astype(int)


def samples(bits: int, channels: int) -> np.ndarray:
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    values = np.random.default_rng(bits).integers(0, 2**bits, shape).astype(np.uint16)
    values.flat[: 2 * channels] = [0] * channels + [2**bits - 1] * channels
    return values


@pytest.mark.parametrize("bits", [16, 14, 12, 9])
def test_grey_with_alpha_is_stretched_by_what_is_seen_and_lies_on_black(tmp_path, bits):
    values = samples(bits, 2)
    values[..., 1] = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    grey, alpha = values[..., 0].astype(float), values[..., 1]
    low, high = grey[alpha > 0].min(), grey[alpha > 0].max()
    expected = np.clip((grey - low) * (255 / (high - low)), 0, 255) * (alpha / 65535)
    found = read(tmp_path, png(WIDTH, HEIGHT, 16, 4, filtered(values)), "L")
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("bits", [16, 13, 12, 10])
def test_colour_keeps_its_upper_bits_or_those_of_a_camera(tmp_path, channels, bits):
    values = samples(bits, channels)
    if channels == 4:
        values[..., 3] = 65535
    found = read(tmp_path, png(WIDTH, HEIGHT, 16, 2 if channels == 3 else 6, filtered(values)))
    assert np.array_equal(found, values[..., :3] >> (8 if bits > 12 else 4))


def test_interlaced_rows_are_read_as_others(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (1, 1, 2)).astype(np.uint16) | [[[0, 65535]]]
    assert read(tmp_path, png(1, 1, 16, 4, filtered(values), interlace=1)).tolist() == [[[0, 0, 0]]]


def test_one_transparent_value_is_black_and_does_not_count(tmp_path):
    values = np.array([[100, 150, 300, 60000]], np.uint16)
    content = png(4, 1, 16, 0, filtered(values), chunk(b"tRNS", struct.pack(">H", 60000)))
    assert read(tmp_path, content, "L").tolist() == [[0, 64, 255, 0]]
    colour = np.array([[[65535, 256, 0], [65535, 257, 0]]], np.uint16)
    content = png(2, 1, 16, 2, filtered(colour), chunk(b"tRNS", struct.pack(">3H", 65535, 257, 0)))
    assert read(tmp_path, content).tolist() == [[[255, 1, 0], [0, 0, 0]]]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_one_transparent_value_of_narrow_grey_is_black(tmp_path, depth):
    top = 2**depth - 1
    row = np.packbits(np.unpackbits(np.array([[0], [top]], np.uint8), axis=1)[:, 8 - depth :].ravel())
    data = zlib.compress(b"\0" + row.tobytes())
    content = png(2, 1, depth, 0, data, chunk(b"tRNS", struct.pack(">H", top)))
    assert read(tmp_path, content, "L").tolist() == [[0, 0]]
    content = png(2, 1, depth, 0, data, chunk(b"tRNS", struct.pack(">H", 0)))
    assert read(tmp_path, content, "L").tolist() == [[0, 255]]


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("size", [1_300_000, 40_000_000])
@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt", b"tEXt"])
def test_large_texts_and_profiles_do_no_harm(tmp_path, kind, size, where):
    if kind == b"tEXt":
        note = b"Comment\0" + b"a" * min(size, 3_000_000)
    else:
        body = zlib.compress(bytes(size))
        note = {b"iCCP": b"x\0\0", b"zTXt": b"Comment\0\0", b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0"}[
            kind
        ] + body
    values = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3
    plain = io.BytesIO()
    Image.fromarray(values).save(plain, "PNG", exif=exif)
    whole = plain.getvalue()
    place = 33 if where == "before" else len(whole) - 12
    content = whole[:place] + chunk(kind, note) + whole[place:]
    assert np.array_equal(read(tmp_path, content), values[::-1, ::-1])


def test_many_texts_are_read_past(tmp_path):
    notes = b"".join(chunk(b"zTXt", b"k%d\0\0" % i + zlib.compress(bytes(900_000))) for i in range(80))
    values = samples(16, 1)
    found = read(tmp_path, png(WIDTH, HEIGHT, 16, 0, filtered(values), notes), "L")
    assert np.array_equal(found, np.rint(values * (255 / 65535)))
