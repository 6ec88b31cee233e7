"""Reads PNG files where Pillow gives up or drops bits: large texts and profiles, 16-bit samples."""

import io
import struct
import zlib
from typing import BinaryIO, cast

import numpy as np
from PIL import Image

from hemf.data.image.wide import CAMERA_BITS, colour_levels, on_black, stretched

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = 33  # bytes of the signature and the first chunk
NOTES = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # none of which changes a pixel
GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6


def has_large_notes(error: Exception) -> bool:
    """Return whether Pillow refused a PNG for the size of its texts or colour profile."""
    return "MAX_TEXT_" in str(error)


def without_notes(file: BinaryIO) -> BinaryIO:
    """Return the same PNG without texts and colour profile."""
    file.seek(0)
    kept = io.BytesIO()
    kept.write(file.read(len(SIGNATURE)))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in NOTES:
            file.seek(length + 4, io.SEEK_CUR)
            continue
        kept.write(head)
        kept.write(file.read(length + 4))
    kept.seek(0)
    return kept


def wide_kind(file: BinaryIO) -> int | None:
    """Return the type of colour of a PNG of 16 bits; None for others. The position stays at the beginning."""
    head = file.read(HEADER)
    file.seek(0)
    wide = head.startswith(SIGNATURE) and head[24:25] == b"\x10"
    return head[25] if wide and len(head) == HEADER else None


def scale_transparency(image: Image.Image, file: BinaryIO) -> None:
    """Make the transparent value of grey of 2 or 4 bits one of 8, as Pillow makes the pixels."""
    clear = image.info.get("transparency")
    if image.mode == "L" and isinstance(clear, int):
        file.seek(24)
        image.info["transparency"] = clear * 255 // (2 ** file.read(1)[0] - 1)


def wide_picture(image: Image.Image, file: BinaryIO, kind: int) -> Image.Image:
    """Return a PNG of 16 bits as 8-bit grey or RGB on black.

    Grey is stretched as ``stretched`` does, by its visible pixels; colour as ``colour_levels``.

    Args:
        image: as Pillow decoded it, from ``file``.
        file: the same, which can be read again.
        kind: as ``wide_kind`` gives it.
    """
    if kind == GREY_ALPHA:
        samples = _grey_and_alpha(file)
        grey = stretched(samples[..., 0], samples[..., 1] > 0)
        return Image.fromarray(on_black(grey[..., None], samples[..., 1], 65535)[..., 0])
    clear = image.info.get("transparency")
    if kind == GREY:
        values = np.asarray(image)
        return Image.fromarray(stretched(values, None if clear is None else values != clear))
    extrema = cast("tuple[tuple[int, int], ...]", image.getextrema())  # of each channel
    top = max(high for _, high in extrema[:3])
    if top >= 2 ** (CAMERA_BITS - 8) and clear is None:
        return image
    values = np.asarray(image).astype(np.uint16)
    values <<= 8
    values |= _low_bytes(file)
    colour = colour_levels(values[..., :3], 16)
    if clear is not None:
        colour = on_black(colour, (values != clear).any(-1))
    elif kind == RGBA:
        colour = on_black(colour, values[..., 3], 65535)
    return Image.fromarray(colour)


def _grey_and_alpha(file: BinaryIO) -> np.ndarray:
    """Return height x width x 2, big-endian uint16.

    Pillow keeps the upper bytes alone. Called RGBA of 8 bits, whose pixels are as long, the file gives all.
    """
    file.seek(0)
    data = bytearray(file.read())
    data[24:26] = 8, RGBA
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return np.asarray(image).view(">u2")


def _low_bytes(file: BinaryIO) -> np.ndarray:
    """Return the lower bytes of colour: decoded as though they came first, as in the other byte order."""
    file.seek(0)
    with Image.open(file, formats=("PNG",)) as image:
        image.tile = [part._replace(args=str(part.args).replace("16B", "16L")) for part in image.tile]
        return np.array(image)
