"""Judges by its header what decoding an image would take: too much is refused, much is done apart.

A decoder written in C cannot be stopped from within its process. So an image is decoded where it is asked
for only if its header bounds the work to a second or two; one that may take longer is read in a process of
its own (``hemf.data.image.apart``), which ends when its time is up.
"""

import os
from typing import BinaryIO

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from hemf.core.errors import UnreadableImage
from hemf.data.image.limits import check_pixels, max_pixels

QUICK_FILE = 16 * 2**20  # bytes; headers of any number of parts take Pillow a few seconds at most
QUICK_PIXELS = 30_000_000
SCAN = b"\xff\xda"  # begins a scan of a JPEG, and can stand in no other place of its coded data
MOST_SCANS = 500  # as in libjpeg-turbo's own tools; encoders write about ten
QUICK_SCANS = 100_000_000  # pixels times scans
MOST_TILES = 50_000

# Bytes of a pixel while it is decoded: Pillow's modes, and the decoders that need memory of their own.
MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2, "RGB": 3}
OTHER_MODE = 4
DECODER_BYTES = {"WEBP": 9, "AVIF": 9, "JPEG2000": 12}
SLOW_FORMATS = ("JPEG2000", "AVIF")
TILE_WIDTH, TILE_LENGTH = 322, 323
STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES = 273, 279, 324, 325
QUICK_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", None)


class Laborious(Exception):  # noqa: N818 - no error: the image is to be read in a process of its own
    """Decoding may take long."""


def check_effort(
    image: Image.Image, file: BinaryIO, path: str | os.PathLike, alone: bool, decodings: int = 1
) -> None:
    """Judge an image that Pillow has opened and not decoded.

    Args:
        image: the image.
        file: the file it was opened from; its position is kept.
        path: the file's path, for messages.
        alone: whether this process is there for this image and can be stopped.
        decodings: times that it is held in memory, as where upper and lower bytes come one after the other.

    Raises:
        UnreadableImage: it is too large, or written to keep a decoder busy.
        Laborious: its decoding may take long, and the process is not ``alone``.
    """
    kind, (width, height) = image.format, image.size
    pixel_bytes = max(DECODER_BYTES.get(kind or "", 0), MODE_BYTES.get(image.mode, OTHER_MODE))
    check_pixels(path, width, height, pixel_bytes * decodings)
    slow = kind in SLOW_FORMATS or width * height > min(QUICK_PIXELS, max_pixels())
    if isinstance(image, JpegImageFile):
        slow |= _scans(image, file, path) * width * height > QUICK_SCANS
    elif isinstance(image, TiffImageFile):
        _check_tiles(image, path, pixel_bytes)
        slow |= _is_slow_tiff(image)
    if slow and not alone:
        raise Laborious


def jpeg_scans(data: bytes) -> int:
    """Count the scans of a JPEG, or a few more; a picture within its metadata may count too."""
    return data.count(SCAN)


def _scans(image: JpegImageFile, file: BinaryIO, path: str | os.PathLike) -> int:
    """Return the passes over the picture of a JPEG."""
    if not image.info.get("progressive"):
        return len(image.layer)  # at most: one scan of all channels, or one of each
    place = file.tell()
    file.seek(0)
    scans = sum(jpeg_scans(block) for block in iter(lambda: file.read(2**20), b""))
    file.seek(place)
    if scans > MOST_SCANS:
        raise UnreadableImage(
            f"{path} is a JPEG of {scans:,} scans, made to take long; save it again from a viewer, or "
            "leave it out"
        )
    return scans


def _check_tiles(image: TiffImageFile, path: str | os.PathLike, pixel_bytes: int) -> None:
    """Check the size of tiles, which may be larger than the picture and are decoded whole."""
    width, height = (image.tag_v2.get(tag) for tag in (TILE_WIDTH, TILE_LENGTH))
    if isinstance(width, int) and isinstance(height, int):
        check_pixels(path, width, height, pixel_bytes)


def _is_slow_tiff(image: TiffImageFile) -> bool:
    """Whether a TIFF has a codec that may be slow, very many parts, or parts that share their bytes."""
    tags = image.tag_v2
    if image.info.get("compression") not in QUICK_COMPRESSIONS:
        return True
    offsets = tags.get(STRIP_OFFSETS) or tags.get(TILE_OFFSETS) or ()
    counts = tags.get(STRIP_BYTES) or tags.get(TILE_BYTES) or ()
    counts = counts if isinstance(counts, tuple) else (counts,)
    return not isinstance(offsets, tuple) or len(offsets) > MOST_TILES or sum(counts) > 2 * QUICK_FILE
