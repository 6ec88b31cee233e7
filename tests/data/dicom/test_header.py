"""What a header leaves out or says wrongly is mended or named, and no header takes all memory or time."""

import resource
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import SECRETS, header, rewrite, save
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from hemf.core.errors import UnreadableImage
from hemf.data.dicom.header import DicomFault, number, read_header
from hemf.data.image.read import read_image
from hemf.data.patients import patient_groups

RAMP = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
SHOWN = np.rint(255 * (RAMP / 4095))
RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def refused(path: Path, words: str) -> None:
    with pytest.raises(UnreadableImage, match=words) as raised:
        read_image(path)
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message
    assert not any(secret in message for secret in SECRETS)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(
    "missing",
    [
        ("SamplesPerPixel",),
        ("BitsStored",),
        ("HighBit",),
        ("BitsAllocated",),
        ("PixelRepresentation",),
        ("BitsStored", "BitsAllocated", "SamplesPerPixel"),
    ],
)
def test_what_has_one_reading_may_be_missing(tmp_path, syntax, missing):
    path = save(tmp_path / "a.dcm", RAMP, syntax, bits=None if "PixelRepresentation" in missing else 12)
    data = pydicom.dcmread(path)
    if "PixelRepresentation" in missing:
        data.BitsStored, data.HighBit = 16, 15
    for name in missing:
        delattr(data, name)
    data.save_as(path)
    assert np.array_equal(np.asarray(read_image(path, "L")), SHOWN)


def test_colour_without_its_number_of_samples(tmp_path):
    path = save(tmp_path / "a.dcm", RGB, kind="RGB", left_out=("SamplesPerPixel", "PlanarConfiguration"))
    assert np.array_equal(np.asarray(read_image(path)), RGB)


@pytest.mark.parametrize(
    ("values", "left_out", "words"),
    [
        ({}, ("Rows",), r"Rows \(0028,0010\) is missing, expected 1 to 65535"),
        ({"Columns": 0}, (), r"Columns \(0028,0011\) is 0, expected 1 to 65535"),
        (
            {},
            ("PhotometricInterpretation",),
            r"PhotometricInterpretation \(0028,0004\) is missing, expected one",
        ),
        ({"BitsAllocated": 12}, (), r"BitsAllocated \(0028,0100\) is 12, expected 1, 8, 16, 32 or 64"),
        ({"BitsStored": 17}, (), r"BitsStored \(0028,0101\) is 17, expected 1 to 16"),
        ({"HighBit": 7}, (), r"HighBit \(0028,0102\) is 7, expected 11 or more for 12 bits stored"),
        ({"HighBit": 16}, (), r"HighBit \(0028,0102\) is 16, expected 0 to 15"),
        ({"PixelRepresentation": 2}, (), r"PixelRepresentation \(0028,0103\) is 2, expected 0 to 1"),
        (
            {},
            ("PixelRepresentation",),
            r"PixelRepresentation \(0028,0103\) is missing, expected 0 \(no sign\)",
        ),
        ({"SamplesPerPixel": 3}, (), r"SamplesPerPixel \(0028,0002\) is 3, expected 1 for MONOCHROME2"),
        (
            {"RescaleSlope": 0, "RescaleIntercept": 0},
            (),
            r"RescaleSlope \(0028,1053\) is 0, expected another",
        ),
        (
            {"WindowCenter": 9, "WindowWidth": 9, "VOILUTFunction": "CURVE"},
            (),
            r"VOILUTFunction .* is unknown",
        ),
        ({"VOILUTSequence": [pydicom.Dataset()]}, (), r"LUTDescriptor \(0028,3002\) is missing"),
    ],
)
def test_elements_are_named_with_what_was_expected(tmp_path, values, left_out, words):
    refused(save(tmp_path / "a.dcm", RAMP, bits=12, left_out=left_out, **values), words)


@pytest.mark.parametrize("vr", ["LO", "DS"])
def test_decimal_commas_are_points(tmp_path, vr):
    path = save(tmp_path / "a.dcm", RAMP, bits=12)
    data = pydicom.dcmread(path)
    texts = {0x00281050: "2047,5\\40", 0x00281051: "4096,0\\400", 0x00281053: "1,0", 0x00281052: "0,00"}
    for tag, text in texts.items():
        data[tag] = pydicom.DataElement(tag, "LO", text)
    content = rewrite(path, data).read_bytes()
    if vr == "DS":  # pydicom writes none that are no numbers
        for tag in texts:
            group = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
            content = content.replace(group + b"LO", group + b"DS")
    path.write_bytes(content)
    assert np.abs(np.asarray(read_image(path, "L")) - SHOWN).max() <= 1


@pytest.mark.parametrize("text", ["1,024", "12,000", "abc", "nan", "inf", "1_0", "1.2.3", "1,2,3"])
def test_what_is_no_number_or_two_is_named_and_not_quoted(tmp_path, text):
    path = save(tmp_path / "a.dcm", RAMP, bits=12, WindowCenter=40)
    data = pydicom.dcmread(path)
    data[0x00281051] = pydicom.DataElement(0x00281051, "LO", text)
    refused(rewrite(path, data), r"WindowWidth \(0028,1051\)")


@given(value=st.floats(-1e6, 1e6).map(lambda x: float(f"{x:.4f}")), comma=st.booleans())
def test_numbers_come_out_as_written(value, comma):
    text = f"{value:.4f}".replace(".", "," if comma else ".")
    data = pydicom.Dataset()
    data.add_new(0x00281050, "LO", text)
    assert number(data, "WindowCenter") == value


def test_names_of_kinds_may_be_padded_and_small(tmp_path):
    for kind in ("MONOCHROME2 ", "monochrome2", "MONOCHROME2\0"):
        path = save(tmp_path / "a.dcm", RAMP, bits=12, kind=kind)
        assert np.array_equal(np.asarray(read_image(path, "L")), SHOWN)


def deflated(path: Path, content: bytes) -> Path:
    """A file of the deflated transfer syntax around what inflates to ``content``."""
    data = header()
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)
    meta = path.read_bytes()
    start = meta.index(b"1.2.840.10008.1.2.1.99") + 22
    while meta[start : start + 2] in (b"\0\x02", b"\x02\0"):  # what follows in the group
        start += 8 + struct.unpack("<H", meta[start + 6 : start + 8])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(meta[:start] + packer.compress(content) + packer.flush())
    return path


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value


def nested(depth: int) -> bytes:
    """A sequence within a sequence within ..., of unknown length each."""
    return (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff") * depth


BOMBS = {
    "zeros": lambda: element(0x00091010, b"OB", b"\0" * 100_000_000),
    "elements": lambda: struct.pack("<HH2sH", 9, 0x1010, b"LO", 0) * 300_000,
    "nesting": lambda: nested(20_000),
    "items": lambda: b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\0\0\0\0" * 300_000,
    "length": lambda: struct.pack("<HH2sHI", 9, 0x1010, b"OB", 0, 0xFFFFFFF0),
    "fragments": lambda: (
        struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + b"\xfe\xff\0\xe0\0\0\0\0" * 300_000
    ),
}

READ = """
import resource, sys
from hemf.data.image.read import read_image
from hemf.core.errors import UnreadableImage
from hemf.data.image.limits import set_max_pixels
from hemf.data.patients import patient_groups
set_max_pixels(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF)
for path in sys.argv[1:]:
    try:
        read_image(path)
        print("read")
    except UnreadableImage as error:
        print(error)
    patient_groups([path])
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_maxrss - before.ru_maxrss, after.ru_utime - before.ru_utime)
"""


@pytest.mark.slow
def test_bombs_are_refused_in_bounded_memory_and_time(tmp_path):
    paths = []
    for name, content in BOMBS.items():
        plain = save(tmp_path / f"{name}.dcm", RAMP).read_bytes()
        start = plain.index(b"\x08\0\x16\0UI")
        (tmp_path / f"{name}.dcm").write_bytes(plain[:start] + content())
        deflated(tmp_path / f"deflated-{name}.dcm", content())
        paths += [tmp_path / f"{name}.dcm", tmp_path / f"deflated-{name}.dcm"]
    bomb = tmp_path / "bomb.dcm"
    deflated(bomb, b"")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    with open(bomb, "r+b") as file:
        file.seek(-2, 2)
        for _ in range(200):
            file.write(packer.compress(b"\0" * 2**20))  # more than the limit
        file.write(packer.flush())
    found = subprocess.run(
        [sys.executable, "-c", READ, *map(str, [*paths, bomb])], capture_output=True, text=True, timeout=400
    )
    assert found.returncode == 0, found.stderr
    *said, last = found.stdout.splitlines()
    assert len(said) == len(paths) + 1
    assert "read" not in said
    assert "inflates to more than 120,000,000 bytes" in said[-1]
    memory, seconds = map(float, last.split())
    assert memory * (1 if sys.platform != "darwin" else 1 / 1024) < 2 * 2**20  # kilobytes
    assert seconds < 20 * len(said)


def test_what_inflates_to_more_than_an_image_is_refused_by_the_limit(tmp_path, monkeypatch):
    path = save(tmp_path / "a.dcm", RAMP, DeflatedExplicitVRLittleEndian, bits=12)
    assert np.array_equal(np.asarray(read_image(path, "L")), SHOWN)
    monkeypatch.setattr("hemf.data.image.limits._max_pixels", 150)
    bomb = deflated(tmp_path / "b.dcm", element(0x00091010, b"OB", b"\0" * 100_000))
    refused(bomb, "inflates to more than 900 bytes.*--max-pixels")
    assert patient_groups([bomb]) == [""]


def test_headers_have_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr("hemf.data.dicom.header.MAX_READS", 100)
    many = b"".join(element(0x00091000 + n, b"UN", b"") for n in range(1000))
    with pytest.raises(DicomFault, match="more than 50 elements"):
        read_header(BytesIO(b"\0" * 128 + b"DICM" + many))


@pytest.mark.parametrize("end", [0.3, 0.6, 0.9])
def test_a_picture_cut_short_says_so(tmp_path, end):
    path = save(tmp_path / "a.dcm", RAMP)
    data = pydicom.dcmread(path)
    data.compress(pydicom.uid.RLELossless)
    data.save_as(path)
    content = path.read_bytes()
    start = content.index(b"\xe0\x7f\x10\0OB")
    path.write_bytes(content[: int(start + 12 + (len(content) - start - 12) * end)])
    refused(path, "the file ends before its pixels do|damaged")


def test_memory_of_the_largest_pictures(tmp_path):
    """A file whose header promises more than its bytes takes no memory for what is not there."""
    path = save(tmp_path / "a.dcm", RAMP, Rows=12000, Columns=10000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "has 128 bytes, expected 240,000,000 for 12000 x 10000 x 1 values of 16 bits")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    path = save(tmp_path / "b.dcm", RAMP, Rows=65535, Columns=65535)
    refused(path, "65535 x 65535 pixels and of its kind at most 120,000,000 are read")
