"""DICOM files become the picture that the standard describes, and nothing of their headers comes out."""

import math
import pickle
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pydicom
import pytest
from dicom_files import SECRETS, header, save, table
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from hemf.config.options import Window
from hemf.core.errors import UnreadableImage
from hemf.data.dicom.read import WINDOWS, windowed
from hemf.data.image.read import find_images, inspect_image, read_image

RAMP = np.arange(-1000, 1000, 20).reshape(10, 10)


def pixels(path: Path, mode: str = "L", window: str = "auto") -> np.ndarray:
    return np.asarray(read_image(path, mode, window))


def formula(x: float, c: float, w: float, function: str) -> float:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3 with y from 0 to 1, written out as there."""
    if function == "SIGMOID":
        return 1 / (1 + math.exp(max(-700.0, min(700.0, -4 * (x - c) / w))))
    if function == "LINEAR_EXACT":
        if x <= c - w / 2:
            return 0.0
        return 1.0 if x > c + w / 2 else (x - c) / w + 0.5
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    return 1.0 if x > c - 0.5 + (w - 1) / 2 else (x - (c - 0.5)) / (w - 1) + 0.5


@given(
    values=st.lists(st.floats(-4000, 4000), min_size=1, max_size=9),
    center=st.floats(-2000, 2000),
    width=st.one_of(st.just(1.0), st.floats(1, 4000)),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_windows_follow_the_standards_formulas(values, center, width, function):
    expected = [formula(x, center, width, function) for x in values]
    assert windowed(np.array(values), center, width, function) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_rescale_and_the_first_window_as_pydicom_applies_them(tmp_path, function, kind):
    path = save(
        *(tmp_path / "a.dcm", RAMP.astype(np.int16)),
        kind=kind,
        RescaleSlope="1.5",
        RescaleIntercept="-24",
        WindowCenter=[40, 300],
        WindowWidth=[400, 2000],
        VOILUTFunction=function,
    )
    data = pydicom.dcmread(path)
    theirs = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data)
    least, most = (x * 1.5 - 24 for x in (-(2**15), 2**15 - 1))
    shown = (theirs - least) / (most - least)
    expected = np.rint(255 * (1 - shown if kind == "MONOCHROME1" else shown))
    assert np.abs(pixels(path) - expected).max() <= 1  # of 255, at the rounding
    assert inspect_image(path) == ((10, 10), "L")


def test_named_windows_are_those_that_the_options_offer(tmp_path):
    assert set(get_args(Window)) == {"auto", *WINDOWS}
    path = save(
        *(tmp_path / "a.dcm", (RAMP + 1024).astype(np.uint16)),
        **{"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 0, "WindowWidth": 10},
    )
    for name, (level, width) in WINDOWS.items():
        expected = [[round(255 * formula(x, level, width, "LINEAR")) for x in row] for row in RAMP]
        assert np.abs(pixels(path, window=name).astype(int) - expected).max() <= 1
    with pytest.raises(UnreadableImage, match=r"no CT image.*--window auto"):
        read_image(save(tmp_path / "mr.dcm", RAMP.astype(np.int16), Modality="MR"), window="lung")


def test_without_a_window_the_full_range_is_shown(tmp_path):
    twelve = np.arange(1000, 1100, dtype=np.uint16).reshape(10, 10)
    stretched = np.rint((twelve - 1000.0) * 255 / 99)
    assert np.array_equal(pixels(save(tmp_path / "a.dcm", twelve, bits=12)), stretched)
    padded = twelve.copy()
    padded[0, :2] = 0
    found = pixels(save(tmp_path / "b.dcm", padded, bits=12, PixelPaddingValue=0))
    assert np.array_equal(found[1:], np.rint((twelve - 1002.0) * 255 / 97)[1:])
    assert found[0, :2].tolist() == [0, 0]
    assert not pixels(save(tmp_path / "c.dcm", np.full((4, 4), 7, np.int16))).any()
    eight = np.arange(100, dtype=np.uint8).reshape(10, 10)
    assert np.array_equal(pixels(save(tmp_path / "d.dcm", eight)), eight)
    odd = save(tmp_path / "e.dcm", twelve, bits=12, WindowCenter=5, WindowWidth=0)
    assert np.array_equal(pixels(odd), stretched)


def test_look_up_tables_come_before_windows(tmp_path):
    stored = np.array([[0, 10, 11], [12, 13, 200]], np.uint16)
    path = save(
        *(tmp_path / "a.dcm", stored),
        VOILUTSequence=table([0, 64, 128, 255], 10, 8),
        **{"WindowCenter": 5, "WindowWidth": 3},
    )
    assert pixels(path).tolist() == [[0, 0, 64], [128, 255, 255]]
    path = save(
        *(tmp_path / "b.dcm", stored),
        ModalityLUTSequence=table([100, 300, 200, 500], 10, 16),
        **{"WindowCenter": 300.5, "WindowWidth": 401},
    )
    assert pixels(path).tolist() == [[0, 0, 128], [64, 255, 255]]


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_byte_orders_and_bits_that_are_not_stored(tmp_path, syntax):
    twelve = np.arange(0, 4000, 40, dtype=np.uint16).reshape(10, 10)
    overlaid = twelve | 0xF000  # the upper four bits are not the image's
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    expected = [[round(255 * formula(x, 2048, 4096, "LINEAR")) for x in row] for row in twelve.tolist()]
    found = pixels(save(tmp_path / "a.dcm", overlaid, syntax, bits=12, **window))
    assert np.abs(found.astype(int) - expected).max() <= 1
    signed = (RAMP & 0x0FFF).astype(np.uint16).view(np.int16)  # 12 bits, two's complement
    found = pixels(save(tmp_path / "b.dcm", signed, syntax, bits=12, WindowCenter=0, WindowWidth=2000))
    expected = [[round(255 * formula(x, 0, 2000, "LINEAR")) for x in row] for row in RAMP.tolist()]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_colour(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path = save(tmp_path / "rgb.dcm", values, kind="RGB", Modality="OT")
    assert np.array_equal(pixels(path, "RGB"), values)
    assert inspect_image(path) == ((8, 6), "RGB")
    red = np.full((2, 2, 3), (76, 85, 255), np.uint8)  # of PS3.3 C.7.6.3.1.2
    found = pixels(save(tmp_path / "ybr.dcm", red, kind="YBR_FULL"), "RGB")
    assert np.abs(found.astype(int) - (255, 0, 0)).max() <= 2
    wide = save(tmp_path / "wide.dcm", values.astype(np.uint16) * 256 + 3, kind="RGB")
    assert np.array_equal(pixels(wide, "RGB"), values)


def test_an_enhanced_image_of_one_frame_has_its_window_in_groups(tmp_path):
    def nested(**values) -> Sequence:
        item = Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        return Sequence([item])

    path = save(
        *(tmp_path / "a.dcm", RAMP.astype(np.int16)),
        NumberOfFrames=1,
        SharedFunctionalGroupsSequence=nested(
            PixelValueTransformationSequence=nested(RescaleSlope=2, RescaleIntercept=10)
        ),
        PerFrameFunctionalGroupsSequence=nested(FrameVOILUTSequence=nested(WindowCenter=0, WindowWidth=1000)),
    )
    expected = [[round(255 * formula(2 * x + 10, 0, 1000, "LINEAR")) for x in row] for row in RAMP.tolist()]
    assert np.abs(pixels(path).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_pixels(tmp_path, syntax):
    stored = np.arange(0, 2560, 10, dtype=np.uint16).reshape(16, 16)
    plain = save(tmp_path / "plain.dcm", stored, WindowCenter=1000, WindowWidth=2000)
    name = {RLELossless: "MR_small_RLE.dcm", JPEG2000Lossless: "MR_small_jp2klossless.dcm"}[syntax]
    same = get_testdata_file("MR_small.dcm")
    assert np.array_equal(pixels(get_testdata_file(name)), pixels(same))
    if syntax == RLELossless:
        data = pydicom.dcmread(plain)
        data.compress(RLELossless)
        data.save_as(tmp_path / "rle.dcm")
        assert np.array_equal(pixels(tmp_path / "rle.dcm"), pixels(plain))


def test_lossless_jpeg_and_what_is_not_decoded():
    path = get_testdata_file("SC_rgb_jpeg_gdcm.dcm")  # JPEG Lossless, the archives' usual one
    same = get_testdata_file("SC_rgb_rle.dcm")
    assert np.array_equal(pixels(path, "RGB"), pixels(same, "RGB"))
    lying = get_testdata_file("JPEG2000-embedded-sequence-delimiter.dcm")
    with pytest.raises(UnreadableImage, match=r"compressed picture is 1024 x"):
        read_image(lying)


def test_files_without_suffix_or_without_preamble(tmp_path):
    path = save(tmp_path / "IM0001", RAMP.astype(np.int16), WindowCenter=0, WindowWidth=500)
    bare = tmp_path / "bare.DCM"
    data = pydicom.dcmread(path)
    with open(bare, "wb") as file:
        pydicom.filewriter.write_dataset(_explicit(file), data)
    assert np.array_equal(pixels(bare), pixels(path))
    siemens = tmp_path / "bare.IMA"
    siemens.write_bytes(bare.read_bytes())
    assert np.array_equal(pixels(siemens), pixels(path))
    assert find_images(tmp_path) == [bare, siemens]
    Image.new("L", (3, 2), 9).save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.dcm")
    assert pixels(tmp_path / "b.dcm").tolist() == [[9] * 3] * 2


def _explicit(file):
    from pydicom.filebase import DicomFileLike

    written = DicomFileLike(file)
    written.is_little_endian, written.is_implicit_VR = True, False
    return written


def refused(path: Path, words: str) -> None:
    with pytest.raises(UnreadableImage, match=words) as raised:
        read_image(path)
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message
    assert not any(secret in message for secret in SECRETS)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert not any(secret.encode() in pickle.dumps(raised.value) for secret in SECRETS)


def test_what_is_no_single_picture_is_refused_in_words_of_our_own(tmp_path):
    stack = save(tmp_path / "stack.dcm", np.zeros((8, 4), np.uint8), NumberOfFrames=2)
    data = pydicom.dcmread(stack)
    data.Rows = 4
    data.save_as(stack)
    with pytest.raises(UnreadableImage, match=r"stack\.dcm holds 2 frames; save the one"):
        read_image(stack)
    report = header()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    with pytest.raises(UnreadableImage, match=r"report\.dcm is no DICOM image"):
        read_image(tmp_path / "report.dcm")


def test_messages_quote_nothing_of_a_damaged_header(tmp_path):
    path = save(tmp_path / "a.dcm", RAMP.astype(np.int16), RescaleSlope="1")
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    refused(path, r"PixelData \(7FE0,0010\) has 150 bytes, expected 200 for 10 x 10 x 1 values of 16 bits")
    (tmp_path / "b.dcm").write_bytes(whole.replace(b"MONOCHROME2", b"Miller^Anna"))
    refused(tmp_path / "b.dcm", r"PhotometricInterpretation \(0028,0004\) is unknown, expected one of MONO")


@given(seed=st.integers(0, 10**6), share=st.floats(0, 1))
def test_damage_anywhere_is_read_or_refused_and_quotes_nothing(tmp_path_factory, seed, share):
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    save(path, RAMP[:4, :4].astype(np.int16), RescaleSlope="1", WindowCenter=0, WindowWidth=100)
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(132, len(content), 4):
        content[place] = rng.integers(0, 256)
    path.write_bytes(content[: max(140, int(len(content) * min(1, share + 0.3)))])
    said = ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            read_image(path)
        except UnreadableImage as error:
            said = str(error)
    said += "".join(str(warning.message) for warning in warned)
    assert not any(secret in said for secret in SECRETS)


def test_pictures_too_large_to_decode_safely_are_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "a.dcm", np.zeros((20, 20), np.int16))
    monkeypatch.setattr("hemf.data.image.limits._max_pixels", 300)
    with pytest.raises(UnreadableImage, match="20 x 20 pixels and of its kind at most 360 are read"):
        read_image(path)


def test_nothing_of_the_header_is_kept(tmp_path):
    path = save(tmp_path / "a.dcm", RAMP.astype(np.int16))
    image = read_image(path)
    assert image.info == {}
    assert not any(secret.encode() in pickle.dumps(image) for secret in SECRETS)
    image.save(tmp_path / "a.png")
    assert not any(secret.encode() in (tmp_path / "a.png").read_bytes() for secret in SECRETS)
