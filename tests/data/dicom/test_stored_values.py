"""Stored values come out as they went in, however they are packed; what would take all memory is refused."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import compress, save
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from hemf.core.errors import UnreadableImage
from hemf.data.dicom.codestream import codestream
from hemf.data.image.read import read_image

NATIVE = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
COMPRESSED = [RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless]
RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)

GREY = np.random.default_rng(0).integers(0, 256, (32, 40), np.uint8)


def stretched(values: np.ndarray) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    return np.rint(255 * ((values.astype(np.float64) - low) / max(1, high - low)))


def grey(path: Path) -> np.ndarray:
    return np.asarray(read_image(path, "L"))


def refused(path: Path, words: str) -> None:
    with pytest.raises(UnreadableImage, match=words) as raised:
        read_image(path)
    assert "\n" not in str(raised.value)


@st.composite
def formats(draw):
    allocated = draw(st.sampled_from([8, 16, 32]))
    stored = draw(st.integers(1, allocated))
    high = draw(st.integers(stored - 1, allocated - 1))
    encodes = allocated == 8 or (allocated == 16 and stored > 8)  # what pydicom's encoder does right
    syntaxes = [*NATIVE, RLELossless] if encodes else NATIVE
    return allocated, stored, high, draw(st.booleans()), draw(st.sampled_from(syntaxes))


@given(form=formats(), kind=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]), seed=st.integers(0, 10**6))
def test_any_bits_of_any_word_in_any_byte_order(tmp_path_factory, form, kind, seed):
    """Bits beside those stored are noise, as overlays are; the picture is that of the stored values."""
    allocated, stored, high, signed, syntax = form
    rng, path = np.random.default_rng(seed), tmp_path_factory.getbasetemp() / "form.dcm"
    least = -(2 ** (stored - 1)) if signed else 0
    values = rng.integers(least, least + 2**stored, (5, 6), dtype=np.int64)
    low = high + 1 - stored
    word = rng.integers(0, 2**allocated, values.shape, dtype=np.uint64)
    word &= np.uint64((2**allocated - 1) ^ ((2**stored - 1) << low))
    word |= (values % 2**stored).astype(np.uint64) << np.uint64(low)
    words = word.astype(f"u{allocated // 8}").view(f"{'i' if signed else 'u'}{allocated // 8}")
    made = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    save(path, words, made, bits=stored, kind=kind, HighBit=high)
    if syntax == RLELossless:
        data = pydicom.dcmread(path)
        data.compress(RLELossless)
        data.save_as(path)
    plain = stored <= 8 and not signed
    expected = np.rint(values * 255 / (2**stored - 1)) if plain else stretched(values)
    if kind == "MONOCHROME1":
        expected = 255 - expected if plain or np.ptp(values) else np.full(values.shape, 255)
    assert np.abs(grey(path) - expected).max() <= 1


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("allocated", "stored"), [(8, 8), (16, 8), (16, 10), (16, 12), (16, 16)])
def test_compressed_pictures_are_those_of_the_same_values_uncompressed(
    tmp_path, syntax, signed, allocated, stored
):
    pytest.importorskip("gdcm")
    least = -(2 ** (stored - 1)) if signed else 0
    values = np.random.default_rng(0).integers(least, least + 2**stored, (16, 20))
    kind = f"{'i' if signed else 'u'}{allocated // 8}"
    path = save(tmp_path / "a.dcm", values.astype(kind), bits=stored)
    assert np.array_equal(grey(compress(path, syntax)), grey(path))


@pytest.mark.parametrize("syntax", COMPRESSED[:-1])  # GDCM's encoder of JPEG 2000 aborts on colour
def test_compressed_colour(tmp_path, syntax):
    pytest.importorskip("gdcm")
    made = compress(save(tmp_path / "a.dcm", RGB, kind="RGB", Modality="OT"), syntax)
    assert np.array_equal(np.asarray(read_image(made)), RGB)


def test_left_justified_values_stay_so_when_compressed(tmp_path):
    pytest.importorskip("gdcm")
    values = np.arange(0, 4000, 40, dtype=np.uint16).reshape(10, 10)
    path = compress(save(tmp_path / "a.dcm", values << 4), JPEGLosslessSV1)  # its codestream has 16 bits
    data = pydicom.dcmread(path)
    data.BitsStored, data.HighBit = 12, 15
    data.save_as(path)
    assert np.array_equal(grey(path), stretched(values))


@pytest.mark.parametrize("missing", [(), ("PlanarConfiguration",)])
def test_planes_of_colour_and_interleaved_colour(tmp_path, missing):
    interleaved = save(tmp_path / "a.dcm", RGB, kind="RGB", Modality="OT", left_out=missing)
    assert np.array_equal(np.asarray(read_image(interleaved)), RGB)
    planes = RGB.transpose(2, 0, 1).tobytes()
    path = save(tmp_path / "b.dcm", RGB, kind="RGB", Modality="OT", PlanarConfiguration=1, PixelData=planes)
    assert np.array_equal(np.asarray(read_image(path)), RGB)


@pytest.mark.parametrize(("bits", "shift"), [(4, 0), (8, 0), (12, 4), (16, 8)])
def test_colour_of_other_than_8_bits(tmp_path, bits, shift):
    values = (RGB.astype(np.uint16) >> (8 - bits)) if bits < 8 else RGB.astype(np.uint16) << shift
    path = save(tmp_path / "a.dcm", values, kind="RGB", bits=bits, Modality="OT")
    expected = np.rint(values * (255 / 15)) if bits == 4 else RGB
    assert np.array_equal(np.asarray(read_image(path)), expected)


def subsampled(ybr: np.ndarray) -> bytes:
    """PS3.3 C.7.6.3.1.2: two luminances, then the colour of the first."""
    pairs = ybr.reshape(-1, 2, 3)
    return np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], 1).tobytes()


def test_subsampled_colour_is_unpacked_as_pydicom_does(tmp_path):
    ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
    ybr[:, 1::2, 1:] = ybr[:, ::2, 1:]
    path = save(tmp_path / "a.dcm", ybr, kind="YBR_FULL_422", Modality="OT", PixelData=subsampled(ybr))
    expected = convert_color_space(ybr, "YBR_FULL", "RGB")
    assert np.array_equal(np.asarray(read_image(path)), expected)
    assert np.array_equal(pydicom.dcmread(path).pixel_array, expected)
    assert len(np.unique(np.asarray(read_image(path)))) > 50
    unpacked = save(tmp_path / "b.dcm", ybr, kind="YBR_FULL_422", Modality="OT")  # the old name was left
    assert np.array_equal(np.asarray(read_image(unpacked)), expected)


def test_kinds_of_colour_that_are_not_read_are_named(tmp_path):
    for kind in ("YBR_PARTIAL_422", "HSV", "ARGB", "CMYK"):
        path = save(tmp_path / "a.dcm", RGB, kind=kind, Modality="OT")
        refused(path, rf"PhotometricInterpretation \(0028,0004\) is {kind}, expected one of MONOCHROME1")
    refused(save(tmp_path / "b.dcm", RGB, kind="YBR_ICT", Modality="OT"), "YBR_ICT, which only JPEG 2000 can")
    refused(
        save(tmp_path / "c.dcm", RGB[:, :, 0], kind="RGB"), r"SamplesPerPixel .* is 1, expected 3 for RGB"
    )


def test_pixels_that_are_too_few_or_of_several_pictures(tmp_path):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    path = save(tmp_path / "a.dcm", values, PixelData=values.tobytes()[:100])
    refused(path, r"PixelData \(7FE0,0010\) has 100 bytes, expected 128 for 8 x 8 x 1 values of 16 bits")
    path = save(tmp_path / "b.dcm", values, PixelData=values.tobytes() * 3)
    refused(path, "has 384 bytes, several times the 128 of 8 x 8")
    path = save(tmp_path / "c.dcm", values, PixelData=values.tobytes() + b"\0" * 64)
    assert np.array_equal(grey(path), stretched(values))
    odd = np.arange(49, dtype=np.uint8).reshape(7, 7)
    assert np.array_equal(grey(save(tmp_path / "d.dcm", odd, PixelData=odd.tobytes() + b"\0")), odd)
    bits = np.packbits(np.eye(8, dtype=np.uint8), bitorder="little").tobytes()
    one = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelData": bits}
    assert np.array_equal(grey(save(tmp_path / "e.dcm", np.eye(8, dtype=np.uint8), **one)), np.eye(8) * 255)


def encapsulated(path: Path, frame: bytes, syntax: str, values: np.ndarray, **more) -> Path:
    """A file whose header tells of ``values`` and whose picture is ``frame``."""
    save(path, values, **more)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encapsulate([frame])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.save_as(path)
    return path


def test_run_lengths_stop_where_the_picture_does(tmp_path):
    """64 MB would come out of this segment, for a picture of 64 bytes."""
    bomb = b"\x01\0\0\0\x40\0\0\0".ljust(64, b"\0") + b"\x81\x07" * 500_000
    path = encapsulated(tmp_path / "a.dcm", bomb, RLELossless, np.zeros((8, 8), np.uint8))
    assert np.array_equal(grey(path), np.full((8, 8), 7))
    short = encapsulated(tmp_path / "b.dcm", bomb[:66], RLELossless, np.zeros((80, 8), np.uint8))
    refused(short, "RLE data end before the picture does")
    wide = encapsulated(tmp_path / "c.dcm", bomb, RLELossless, np.zeros((8, 8), np.uint16))
    refused(wide, "RLE data have 1 segments, expected 2")


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, JPEGBaseline8Bit])
def test_a_compressed_picture_of_another_size_than_the_header_says_is_not_decoded(
    tmp_path, syntax, monkeypatch
):
    if syntax == JPEGBaseline8Bit:
        from io import BytesIO

        from PIL import Image

        file = BytesIO()
        Image.fromarray(GREY).save(file, "JPEG")
        frame = file.getvalue()
    else:
        pytest.importorskip("gdcm")
        path = compress(save(tmp_path / "a.dcm", GREY), syntax)
        frame = pydicom.encaps.get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)
    assert codestream(frame)[:4] == (32, 40, 1, 8)
    place = frame.index(b"\x00\x20\x00\x28") if syntax != JPEG2000Lossless else 10
    huge = frame[:place] + b"\xff\xff\xff\xff" + frame[place + 4 :]

    def decoder(*args, **options):
        raise AssertionError("it was decoded")

    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.as_array", decoder)
    lying = encapsulated(tmp_path / "b.dcm", huge, syntax, GREY)
    refused(lying, r"compressed picture is \d+ x \d+ x 1 values, its header says 32 x 40 x 1")
    refused(encapsulated(tmp_path / "c.dcm", b"\1\2" * 50, syntax, GREY), "does not begin as a")


def test_scans_without_end_are_refused(tmp_path, monkeypatch):
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.fromarray(GREY).save(file, "JPEG")
    frame = file.getvalue()
    path = encapsulated(tmp_path / "a.dcm", frame, JPEGBaseline8Bit, GREY)
    assert grey(path).shape == (32, 40)
    frame = frame[:-2] + b"\xff\xda" * 10_000 + frame[-2:]
    monkeypatch.setattr("hemf.data.image.limits._max_pixels", 1_000_000)
    refused(encapsulated(tmp_path / "b.dcm", frame, JPEGBaseline8Bit, GREY), "comes in 10,001 scans")


@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("syntax", COMPRESSED)
def test_damaged_compressed_pictures_do_not_end_the_process(tmp_path_factory, syntax, seed):
    """GDCM aborts on a tenth of these."""
    pytest.importorskip("gdcm")
    folder = tmp_path_factory.getbasetemp()
    path = folder / f"whole.{syntax}.dcm"
    if not path.exists():
        compress(
            save(folder / "whole.dcm", np.arange(1024, dtype=np.uint16).reshape(32, 32), bits=12), syntax
        )
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(content.index(b"\xe0\x7f\x10\x00"), len(content), 3):
        content[place] = rng.integers(0, 256)
    (folder / "damaged.dcm").write_bytes(content)
    try:
        assert read_image(folder / "damaged.dcm", "L").size == (32, 32)
    except UnreadableImage as error:
        assert "\n" not in str(error)  # noqa: PT017
