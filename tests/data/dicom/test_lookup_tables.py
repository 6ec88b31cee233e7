"""Palettes and look-up tables, in every form that files hold them, against pydicom's own functions."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import palette, rewrite, save, table
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_palette_files
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from hemf.core.errors import UnreadableImage
from hemf.data.image.read import read_image

INDEX = np.arange(64, dtype=np.uint8).reshape(8, 8)
GREY = np.arange(256)
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


def shown(path: Path, mode: str = "L") -> np.ndarray:
    return np.asarray(read_image(path, mode))


def packed(entries: np.ndarray, syntax: str) -> bytes:
    """Two entries of 8 bits to a word, the first in its lower byte (PS3.3 C.7.6.3.1.6)."""
    words = entries.astype("u1").tobytes()
    if syntax == ExplicitVRBigEndian:
        words = np.frombuffer(words, "<u2").astype(">u2").tobytes()
    return words


def in_words(entries: np.ndarray, syntax: str) -> bytes:
    return entries.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("bits", "data"),
    [
        (8, lambda syntax: packed(GREY, syntax)),
        (8, lambda syntax: in_words(GREY, syntax)),
        (8, lambda syntax: in_words(GREY * 257, syntax)),
        (8, lambda syntax: in_words(GREY << 8, syntax)),
        (12, lambda syntax: in_words(GREY << 4, syntax)),
        (16, lambda syntax: in_words(GREY << 8, syntax)),
        (16, lambda syntax: in_words(GREY * 257, syntax)),
        (16, lambda syntax: in_words(GREY, syntax)),
        (16, lambda syntax: in_words(GREY << 4, syntax)),
        (16, lambda syntax: packed(GREY, syntax)),
    ],
    ids=["8", "8 low", "8 both", "8 high", "12", "16 high", "16", "16 low", "16 of 12", "16 packed"],
)
def test_a_palette_shows_its_colours_however_wide_its_entries_are(tmp_path, syntax, bits, data):
    values = palette(256, bits, data(syntax))
    path = save(tmp_path / "a.dcm", INDEX, syntax, kind="PALETTE COLOR", Modality="US", **values)
    assert np.array_equal(shown(path), INDEX)


@given(
    bits=st.sampled_from([8, 16]),
    count=st.integers(2, 300),
    first=st.integers(0, 40),
    seed=st.integers(0, 10**6),
)
def test_palettes_as_pydicom_applies_them(tmp_path_factory, bits, count, first, seed):
    """Values before the first entry get the first, those behind the last the last."""
    path, rng = tmp_path_factory.getbasetemp() / "palette.dcm", np.random.default_rng(seed)
    data = {}
    for name in ("Red", "Green", "Blue"):
        entries = rng.integers(0, 2**bits, count).astype(f"<u{bits // 8}")
        entries[0] = 2**bits - 1
        data[name] = entries.tobytes()
    stored = rng.integers(0, 2**9, (7, 9), dtype=np.uint16)
    save(path, stored, bits=9, kind="PALETTE COLOR", Modality="US", **palette(count, bits, data, first))
    place = np.clip(stored.astype(int) - first, 0, count - 1)
    theirs = np.stack([np.frombuffer(entries, f"<u{bits // 8}")[place] for entries in data.values()], -1)
    if bits == 16:  # of 8 bits, pydicom lets the places wrap around at 256
        assert np.array_equal(theirs, apply_color_lut(stored.astype(np.int32), pydicom.dcmread(path)))
    assert np.array_equal(shown(path, "RGB"), theirs if bits == 8 else theirs >> 8)


@pytest.mark.parametrize(
    "name", ["hotiron", "pet", "hotmetalblue", "pet20step", "spring", "summer", "winter"]
)
def test_the_standards_palettes_plain_and_in_segments(tmp_path, name):
    found = pydicom.dcmread(get_palette_files(f"{name}.dcm")[0])
    values = {e.keyword: e.value for e in found if "PaletteColorLookupTableD" in e.keyword}
    index = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = save(tmp_path / "a.dcm", index, kind="PALETTE COLOR", Modality="NM", **values)
    assert np.array_equal(shown(path, "RGB"), apply_color_lut(index, found))


@st.composite
def segments(draw):
    """Words of a segmented table of discrete and linear segments, and the number of its entries."""
    words, count = [], 0
    for n in range(draw(st.integers(1, 4))):
        kind, length = draw(st.sampled_from([0, 1] if n else [0])), draw(st.integers(1, 20))
        values = draw(st.lists(st.integers(4096, 65535), min_size=1, max_size=1 if kind else length))
        length = length if kind else len(values)
        words, count = [*words, kind, length, *values], count + length
    return words, count


@settings(max_examples=50)
@given(made=segments())
def test_segments_as_pydicom_expands_them(tmp_path_factory, made):
    words, count = made
    path = tmp_path_factory.getbasetemp() / "segments.dcm"
    values = palette(count, 16, np.array(words, "<u2").tobytes(), segmented=True)
    save(path, INDEX, kind="PALETTE COLOR", Modality="NM", **values)
    assert np.array_equal(shown(path, "RGB"), apply_color_lut(INDEX, pydicom.dcmread(path)) >> 8)


def test_repeated_segments_begin_at_bytes():
    """PS3.3 C.7.9.2.3; the second segment begins at byte 8 of this table in words."""
    from hemf.data.dicom.lookup_tables import Segments

    words = [0, 2, 100, 200, 1, 4, 1000, 2, 2, 0, 0, 2, 1, 8, 0]
    once = [100, 200, 400, 600, 800, 1000]
    assert Segments(words, 2, 16).expanded().tolist() == [*once, *once, *([1000] * 4)]
    assert Segments(words, 2, 14).expanded() is None


@pytest.mark.parametrize(
    "words",
    [
        [1, 65535, 7] * 50_000,  # no entry before the line
        [0, 1, 7, *([1, 65535, 7] * 50_000)],
        [0, 1, 7, *([2, 65535, 0, 0] * 50_000)],
        [0, 0] * 50_000,
        [0, 1, 7, 2, 1, 6, 0],  # repeats itself
        [9, 1, 7],
        [0, 9, 1],
    ],
)
def test_segments_that_unfold_without_end_are_refused(tmp_path, words):
    data = np.array(words, "<u2").tobytes()
    path = save(tmp_path / "a.dcm", INDEX, kind="PALETTE COLOR", **palette(256, 16, data, segmented=True))
    with pytest.raises(UnreadableImage, match=r"SegmentedRed.* does not make the 256 entries"):
        read_image(path)


def test_a_palette_that_is_missing_or_too_short_is_named(tmp_path):
    values = palette(256, 16, in_words(GREY[:200], ExplicitVRLittleEndian))
    with pytest.raises(UnreadableImage, match=r"\(0028,1201\) has 400 bytes, expected 256 entries"):
        read_image(save(tmp_path / "a.dcm", INDEX, kind="PALETTE COLOR", **values))
    with pytest.raises(
        UnreadableImage, match=r"RedPaletteColorLookupTableDescriptor \(0028,1101\) is missing"
    ):
        read_image(save(tmp_path / "b.dcm", INDEX, kind="PALETTE COLOR"))
    values = palette(256, 8, packed(GREY, ExplicitVRLittleEndian))
    del values["GreenPaletteColorLookupTableData"]
    with pytest.raises(UnreadableImage, match=r"GreenPaletteColorLookupTableData \(0028,1202\) is missing"):
        read_image(save(tmp_path / "c.dcm", INDEX, kind="PALETTE COLOR", **values))


RAMP = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("bits", "scale"), [(12, 1), (16, 16), (8, 0.25), (16, 1), (8, 16), (10, 0.25)])
@pytest.mark.parametrize("vr", ["US", "OW"])
def test_a_voi_table_shows_the_whole_range_of_its_entries(tmp_path, syntax, bits, scale, vr):
    """Too few bits in the descriptor are mended by the entries, too many where the table would be black."""
    entries = (np.arange(4096) * scale).astype(int)
    data = entries.tolist() if vr == "US" else in_words(entries, syntax)
    if vr == "US" and len(entries) * 2 > 65534:
        pytest.skip("longer than the representation allows")
    path = save(tmp_path / "a.dcm", RAMP, syntax, bits=12, VOILUTSequence=table(data, 0, bits, 4096, vr))
    assert np.abs(shown(path) - np.rint(255 * (RAMP / 4095))).max() <= 1
    header = pydicom.dcmread(path)
    if syntax != ExplicitVRBigEndian and vr == "US":
        theirs = apply_voi_lut(RAMP, _wide(header))
        assert np.abs(shown(path) - theirs * (255 / (4095 * scale))).max() <= 1


def _wide(header: pydicom.Dataset) -> pydicom.Dataset:
    """pydicom goes by the descriptor alone."""
    header.VOILUTSequence[0].LUTDescriptor = [4096, 0, 16]
    return header


def test_a_voi_table_in_the_middle_of_its_range_is_left_as_it_is(tmp_path):
    """PS3.3 C.11.2.1.1: the output goes from 0 to 2^n - 1, n being the descriptor's bits."""
    for bits, top in ((16, 65520), (16, 30000), (12, 1000), (10, 255)):
        entries = np.linspace(0, top, 4096).astype(int)
        path = save(tmp_path / "a.dcm", RAMP, bits=12, VOILUTSequence=table(entries.tolist(), 0, bits))
        assert np.array_equal(shown(path), np.rint(255 * (entries[RAMP] / (2**bits - 1))))


def test_entries_of_8_bits_two_to_a_word(tmp_path):
    entries = np.arange(255, -1, -1)
    for syntax in SYNTAXES:
        sequence = table(packed(entries, syntax), 0, 8, 256, "OW")
        path = save(tmp_path / "a.dcm", INDEX, syntax, VOILUTSequence=sequence)
        assert np.array_equal(shown(path), 255 - INDEX)
        sequence = table(packed(entries, syntax), 0, 8, 256, "OW")
        path = save(
            tmp_path / "b.dcm", INDEX, syntax, ModalityLUTSequence=sequence, WindowCenter=128, WindowWidth=256
        )
        assert np.abs(shown(path).astype(int) - (255 - INDEX)).max() <= 1


@given(first=st.integers(-900, 900), count=st.integers(2, 500), seed=st.integers(0, 10**6))
def test_modality_tables_as_pydicom_applies_them(tmp_path_factory, first, count, seed):
    path, rng = tmp_path_factory.getbasetemp() / "modality.dcm", np.random.default_rng(seed)
    stored = rng.integers(-1000, 1000, (6, 5)).astype(np.int16)
    sequence = table(rng.integers(0, 65536, count).tolist(), first, 16)
    save(path, stored, ModalityLUTSequence=sequence)
    theirs = apply_modality_lut(stored.astype(np.int32), pydicom.dcmread(path)).astype(float)
    expected = (theirs - theirs.min()) * (255 / max(1, np.ptp(theirs)))
    assert np.abs(shown(path) - expected).max() <= 1


def test_a_negative_first_value_in_an_element_without_sign(tmp_path):
    values = np.arange(-32, 32, dtype=np.int16).reshape(8, 8)
    path = save(tmp_path / "a.dcm", values, VOILUTSequence=table(list(range(0, 256, 4)), 0, 8))
    data = pydicom.dcmread(path)
    data.VOILUTSequence[0]["LUTDescriptor"].VR = "US"
    data.VOILUTSequence[0].LUTDescriptor = [64, 65536 - 32, 8]
    assert np.array_equal(shown(rewrite(path, data)).ravel(), np.arange(0, 256, 4))
