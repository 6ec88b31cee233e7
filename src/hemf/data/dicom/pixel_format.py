"""How the pixels of a DICOM file are stored: what its header says, or leaves out if it is clear."""

from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from hemf.data.dicom.header import DicomFault, element, whole, word

GREYS = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
JPEG_2000 = ("YBR_ICT", "YBR_RCT")  # made by that codec, which undoes them itself
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", *JPEG_2000)
OTHERS = ("YBR_PARTIAL_422", "YBR_PARTIAL_420", "HSV", "ARGB", "CMYK", "XYB")  # the standard's, and not read


@dataclass(frozen=True)
class PixelFormat:
    """How pixels are stored.

    Args:
        keyword: keyword of the element that holds them.
        rows: height in pixels.
        columns: width in pixels.
        kind: photometric interpretation, such as ``MONOCHROME2``.
        samples: values a pixel: 1, or 3 of colour.
        planar: whether each colour has a plane of its own.
        allocated: bits that a value takes in the file.
        stored: bits of these that are used.
        high: number of the highest bit used; bits count from 0.
        signed: whether values are in two's complement; None where the file does not say.
    """

    keyword: str
    rows: int
    columns: int
    kind: str
    samples: int
    planar: bool
    allocated: int
    stored: int
    high: int
    signed: bool | None

    @property
    def pixel_bytes(self) -> int:
        """What a pixel takes in memory, decompressed."""
        return self.samples * -(-self.allocated // 8)

    @property
    def native_bytes(self) -> int:
        """What all pixels take in a file that is not compressed, with all their samples."""
        return -(-self.rows * self.columns * self.samples * self.allocated // 8)


def pixel_format(header: Dataset, keyword: str, pixel_bytes: int | None) -> PixelFormat:
    """Read how pixels are stored.

    Args:
        header: header of one frame.
        keyword: keyword of the element that holds the pixels.
        pixel_bytes: its length, where nothing in it is compressed.

    Raises:
        DicomFault: an element is missing, out of range, or at odds with another.
    """
    rows, columns = (_needed(header, name, 1, 65535) for name in ("Rows", "Columns"))
    kind = _kind(header)
    usual = 3 if kind in COLOURS else 1
    samples = whole(header, "SamplesPerPixel", 1, 65535) or usual
    if samples != usual:
        raise DicomFault(f"{element('SamplesPerPixel')} is {samples}, expected {usual} for {kind}")
    allocated = _allocated(header, keyword, rows * columns * samples, pixel_bytes)
    high = whole(header, "HighBit", 0, allocated - 1) if keyword == "PixelData" else None
    stored = whole(header, "BitsStored", 1, allocated) if keyword == "PixelData" else allocated
    stored = stored or (high + 1 if high is not None else allocated)
    high = stored - 1 if high is None else high
    if high < stored - 1:
        raise DicomFault(
            f"{element('HighBit')} is {high}, expected {stored - 1} or more for {stored} bits stored"
        )
    signed = whole(header, "PixelRepresentation", 0, 1)
    if kind in COLOURS or keyword != "PixelData" or (signed is None and stored <= 8):
        signed = 0  # as the standard has it, whatever the file says of its colours
    return PixelFormat(
        *(keyword, rows, columns, kind, samples),
        planar=whole(header, "PlanarConfiguration", 0, 1) == 1,
        allocated=allocated,
        stored=stored,
        high=high,
        signed=None if signed is None else bool(signed),
    )


def _needed(header: Dataset, keyword: str, least: int, most: int) -> int:
    found = whole(header, keyword, least, most)
    if found is None:
        raise DicomFault(f"{element(keyword)} is missing, expected {least} to {most}")
    return found


def _kind(header: Dataset) -> str:
    """Return the photometric interpretation; unknown ones are not quoted, as they may be anything."""
    kind = word(header, "PhotometricInterpretation").replace("PALETTE_COLOR", PALETTE)
    known = (*GREYS, PALETTE, *COLOURS)
    if kind in known:
        return kind
    what = f"is {kind}" if kind in OTHERS else "is unknown" if kind else "is missing"
    raise DicomFault(f"{element('PhotometricInterpretation')} {what}, expected one of {', '.join(known)}")


def _allocated(header: Dataset, keyword: str, values: int, pixel_bytes: int | None) -> int:
    """Return bits of a value; where the file does not say, whole bytes of its length, if they come out."""
    if keyword != "PixelData":
        return 32 if keyword == "FloatPixelData" else 64
    allocated = whole(header, "BitsAllocated", 1, 64)
    if allocated is None:
        fitting = [n for n in (8, 16, 32) if pixel_bytes in (values * n // 8, values * n // 8 + 1)]
        if not fitting:
            raise DicomFault(f"{element('BitsAllocated')} is missing, expected 1, 8, 16, 32 or 64")
        return fitting[0]
    if allocated not in (1, 8, 16, 32, 64):
        raise DicomFault(f"{element('BitsAllocated')} is {allocated}, expected 1, 8, 16, 32 or 64")
    return allocated


def with_sign(form: PixelFormat, stored: np.ndarray) -> PixelFormat:
    """Decide on a sign where the file tells none: there is none if no value has the bit that would be it.

    Raises:
        DicomFault: some have, so that they may be meant either way.
    """
    if form.signed is None and stored.max() >= 2 ** (form.stored - 1):
        raise DicomFault(f"{element('PixelRepresentation')} is missing, expected 0 (no sign) or 1 (signed)")
    return replace(form, signed=bool(form.signed))
