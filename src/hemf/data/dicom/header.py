"""Reads headers of DICOM files within bounds: elements as checked numbers, faults in plain words.

A header holds names and dates of birth. Nothing of it goes further, neither in an image's ``info`` nor in a
message: pydicom's own errors and warnings quote what they stumble over, so they are replaced and silenced.
Messages name elements, and give numbers that tell how pixels are stored.
"""

import logging
import math
import re
import warnings
import zlib
from io import BytesIO
from typing import Any, BinaryIO, cast

import numpy as np
import pydicom.config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial, read_preamble
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from hemf.data.image.limits import max_bytes

MAX_READS = 200_000  # pydicom needs about two for an element, and a second for all of them
LARGEST_VALUE = 2**22  # bytes; longer values are skipped, because no element that is used is that long
PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
SHOWN = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction")

NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module="pydicom")
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


class DicomFault(ValueError):  # noqa: N818 - it names what the user sees
    """What is wrong with a DICOM file, in words that can be shown: they quote nothing of its header.

    Args:
        what: is wrong.
        mend: what the user can do.
    """

    def __init__(self, what: str, mend: str = "correct that, export it again, or leave it out") -> None:
        super().__init__(f"{what}; {mend}")


class BoundedFile:
    """A file to be parsed by pydicom, which would take any number of elements of any length.

    Args:
        file: opened for reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.reads = file, 0
        self.seek, self.tell = file.seek, file.tell
        here = file.tell()
        self.size = file.seek(0, 2)
        file.seek(here)

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes, and no memory for more than there are.

        Raises:
            DicomFault: it was called too often.
        """
        self.reads += 1
        if self.reads > MAX_READS:
            raise DicomFault(f"its header has more than {MAX_READS // 2:,} elements")
        left = max(0, self.size - self.tell())
        return self.file.read(left if size < 0 else min(size, left))

    @property
    def for_pydicom(self) -> BinaryIO:
        """The same; pydicom asks for more than it uses, which is to read, to seek and to tell."""
        return cast("BinaryIO", self)


def read_header(file: BinaryIO, only: list[str] | None = None) -> tuple[FileDataset, BoundedFile]:
    """Read the elements of a DICOM file, with or without its preamble, that come before its pixels.

    The window and the rescale of an enhanced image are put where those of a plain one are, and the transfer
    syntax is named where the file does not.

    Args:
        file: opened for reading, at its beginning.
        only: keywords of the elements to keep; all others are skipped.

    Returns:
        The header, and the file at the element that holds the pixels, inflated where it was deflated.

    Raises:
        DicomFault: it inflates to more than an image needs, or has no end of elements.
        Exception: anything, for damaged files; its words may quote the header.
    """
    stream = BoundedFile(file)
    meta = _inflated_meta(stream)
    wanted: Any = [Tag(keyword) for keyword in only] if only else None
    if meta is None:
        header = read_partial(stream.for_pydicom, _at_pixels, LARGEST_VALUE, force=True, specific_tags=wanted)
    else:
        stream = BoundedFile(_inflated(stream))
        source = stream.for_pydicom
        found = read_dataset(source, False, True, None, _at_pixels, LARGEST_VALUE, specific_tags=wanted)
        header = FileDataset(stream, found, file_meta=meta, is_implicit_VR=False, is_little_endian=True)
        header.set_original_encoding(False, True)
    _name_encoding(header)
    _flatten(header)
    return header, stream


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag in PIXELS


def find_pixels(header: FileDataset, stream: BoundedFile) -> tuple[RawDataElement, int] | None:
    """Find the element at which ``read_header`` stopped, without its value, and its end; None at the end.

    Raises:
        DicomFault: the file ends within a compressed picture.
    """
    if stream.size - stream.tell() < 8:
        return None
    implicit, little = header.original_encoding
    found = read_dataset(
        stream.for_pydicom, bool(implicit), bool(little), stop_when=_behind_pixels, defer_size=0
    )
    pixels = [item for item in found.values() if isinstance(item, RawDataElement)]
    if not pixels:
        raise DicomFault("the file ends before its pixels do", "fetch or export it again, or leave it out")
    return pixels[0], stream.tell()


def _behind_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag not in PIXELS


def _inflated_meta(stream: BoundedFile) -> FileMetaDataset | None:
    """The file meta information of a deflated file, the stream being behind it; None for others, rewound."""
    start = stream.tell()
    if read_preamble(stream.for_pydicom, force=True) is not None:
        source = stream.for_pydicom
        found = read_dataset(source, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        if found.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            return FileMetaDataset(found)
    stream.seek(start)
    return None


def _inflated(stream: BoundedFile) -> BytesIO:
    limit = max_bytes()
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(stream.read(), limit + 1)
    if len(content) > limit:
        raise DicomFault(
            f"it inflates to more than {limit:,} bytes", "leave it out, or give a larger --max-pixels"
        )
    return BytesIO(content)


def _name_encoding(header: FileDataset) -> None:
    """Say how the pixels of a file without the usual preamble are encoded."""
    if "TransferSyntaxUID" not in header.file_meta:
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _flatten(header: Dataset) -> None:
    """Put rescale and window of an enhanced image of one frame where those of a plain one are."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (header.get(groups) or ())[:1]:
            for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                for item in (group.get(macro) or ())[:1]:
                    header.update({Tag(key): item.get_item(key) for key in SHOWN if key in item})


def element(keyword: str) -> str:
    """Return an element's name and number, as in ``Rows (0028,0010)``."""
    tag = Tag(keyword)
    return f"{keyword} ({tag.group:04X},{tag.element:04X})"


def numbers(header: Dataset, keyword: str) -> list[float | None]:
    """Read the numbers in an element, whatever type the file gives it; None for those that are empty.

    A decimal comma counts as a point, except where it may part thousands (``1,024``).

    Raises:
        DicomFault: one of them is no number.
    """
    value = _value(header, keyword)
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if isinstance(value, str):
        value = value.split("\\")
    if value is None or not hasattr(value, "__iter__"):
        value = [value]
    return [_number(one, keyword) for one in value]


def _value(header: Dataset, keyword: str) -> Any:
    """Return the value of an element; its bytes where pydicom cannot make it what its type says."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in header:
        return None
    try:
        return header[tag].value
    except Exception:
        raw = header.get_item(tag)
    data = raw.value
    if isinstance(raw, RawDataElement) and isinstance(data, bytes) and "US" in dictionary_VR(tag):
        return np.frombuffer(data, "<u2" if raw.is_little_endian else ">u2").tolist()
    return data


def _number(value: Any, keyword: str) -> float | None:
    text = str(value if value is not None else "").strip(" \0\t\r\n")
    if not text:
        return None
    if THOUSANDS.fullmatch(text):
        raise DicomFault(f"the comma in {element(keyword)} may be a decimal comma or part thousands")
    number = float(text.replace(",", ".")) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise DicomFault(f"{element(keyword)} is no number")
    return number


def number(header: Dataset, keyword: str) -> float | None:
    """Read the first number in an element; None where there is none.

    Raises:
        DicomFault: it is no number.
    """
    found = numbers(header, keyword)
    return found[0] if found else None


def whole(header: Dataset, keyword: str, least: int, most: int) -> int | None:
    """Return a whole number from ``least`` to ``most``; None where the element is missing or empty.

    Raises:
        DicomFault: it is another.
    """
    found = number(header, keyword)
    if found is None:
        return None
    if found != int(found) or not least <= found <= most:
        raise DicomFault(f"{element(keyword)} is {found:.15g}, expected {least} to {most}")
    return int(found)


def word(header: Dataset, keyword: str) -> str:
    """Return a defined term in capitals, without what pads it; empty where there is none."""
    value = _value(header, keyword)
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return str(value or "").strip(" \0").upper()
