"""Reads what compressed pictures say about their own size: JPEG of all kinds, JPEG-LS and JPEG 2000."""

from typing import NamedTuple

JPEG, SCAN, FILL = b"\xff\xd8", b"\xff\xda", 0xFF
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG's markers SOF0 to SOF15, and JPEG-LS's
JPEG_2000, JPEG_2000_FILE = b"\xff\x4f\xff\x51", b"jP  "
BOXES = 2**16  # bytes of a JPEG 2000 file in which its picture has to begin


class Codestream(NamedTuple):
    """Height and width in pixels, samples a pixel, bits a sample, and passes over the picture."""

    rows: int
    columns: int
    samples: int
    bits: int
    scans: int


def codestream(data: bytes) -> Codestream | None:
    """Read what a compressed picture says of itself, without decoding it; None if it is none of these."""
    return _jpeg(data) if data[:2] == JPEG else _jpeg_2000(data)


def _jpeg(data: bytes) -> Codestream | None:
    place = 2
    while place + 10 <= len(data) and data[place] == FILL:
        marker = data[place + 1]
        if marker in FRAMES:
            rows, columns = (int.from_bytes(data[place + n : place + n + 2]) for n in (5, 7))
            return Codestream(rows, columns, data[place + 9], data[place + 4], data.count(SCAN, place))
        place += 1 if marker == FILL else 2 + int.from_bytes(data[place + 2 : place + 4])
    return None


def _jpeg_2000(data: bytes) -> Codestream | None:
    start = data.find(JPEG_2000, 0, BOXES)
    if start < 0 or (start and data[4:8] != JPEG_2000_FILE) or len(data) < start + 43:
        return None
    right, bottom, left, top = (int.from_bytes(data[start + n : start + n + 4]) for n in (8, 12, 16, 20))
    samples = int.from_bytes(data[start + 40 : start + 42])
    return Codestream(bottom - top, right - left, samples, (data[start + 42] & 0x7F) + 1, 1)
