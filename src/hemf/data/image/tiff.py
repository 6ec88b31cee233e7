"""Reads with tifffile the kinds of TIFF files that Pillow does not read, or reads wrongly.

Pillow 13 silently gives other values than are stored for signed 8-bit and unsigned 32-bit samples,
12-bit ones, wide big-endian ones that are compressed, and channels stored apart other than plain RGB.
"""

import os
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image
from PIL.Image import Transpose
from PIL.TiffImagePlugin import TiffImageFile

from hemf.core.errors import UnreadableImage
from hemf.data.image.limits import check_pixels
from hemf.data.image.wide import colour_levels, on_black, stretched, unit_levels

if TYPE_CHECKING:
    from tifffile import TiffPage

UPRIGHT = {  # what turns a picture of that orientation
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PLANAR, SAMPLE_FORMAT, FILL_ORDER, ORIENTATION = 284, 339, 266, 274
WHITE_FIRST, BLACK_FIRST, RGB, CMYK = 0, 1, 2, 5
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
IGNORED, ASSOCIATED, UNASSOCIATED = 0, 1, 2  # what a further sample is
SAMPLES = {WHITE_FIRST: 1, BLACK_FIRST: 1, RGB: 3, CMYK: 4}


def is_tiff(file: BinaryIO) -> bool:
    """Return whether a file begins as a TIFF; its position stays at the beginning."""
    start = file.read(4)
    file.seek(0)
    return start in SIGNATURES


def pillow_reads(image: TiffImageFile) -> bool:
    """Return whether Pillow gives the stored values of a TIFF that it has opened."""
    tags = image.tag_v2
    bits, formats = set(_several(tags.get(258, 1))), set(_several(tags.get(SAMPLE_FORMAT, 1)))
    apart, samples = tags.get(PLANAR, 1) == 2, tags.get(277, 1)
    if bits == {8} or max(bits) < 8:
        return formats == {UNSIGNED} and (
            not apart or (samples, tags.get(262)) in ((1, 1), (3, RGB), (4, CMYK))
        )
    if samples != 1 or tags.get(FILL_ORDER, 1) != 1:
        return tags.get(262) == CMYK and not apart
    if (bits, formats) == ({16}, {UNSIGNED}):
        return True
    native = tags.prefix.startswith(b"II") or image.info.get("compression") in ("raw", None)
    signed, floating = formats == {SIGNED} and bits <= {16, 32}, (bits, formats) == ({32}, {FLOAT})
    return native and (signed or floating)


def tiff_picture(file: BinaryIO, path: str | os.PathLike) -> Image.Image:
    """Read the picture in a TIFF, upright, in mode ``L`` or ``RGB``.

    Grey of at most 8 unsigned bits keeps its values (of fewer, spread to 0..255); other grey is stretched
    from the least to the greatest value of its visible pixels. Colour keeps its upper 8 bits; in floating
    point it is read where all samples are from 0 to 1, its usual range. Samples of 9 to 15 bits are packed,
    unless the file holds a word of 16 bits for each.

    Args:
        file: opened for reading, at its beginning.
        path: its name, for messages.

    Raises:
        UnreadableImage: several pages, too large, or of a kind that has no one reading.
    """
    import tifffile

    with tifffile.TiffFile(file) as opened:
        page = opened.pages.first
        if len(opened.pages) > 1:
            raise UnreadableImage(
                f"{path} holds {len(opened.pages)} pages; save the one to classify as its own file"
            )
        samples, bits, kind = page.samplesperpixel, page.bitspersample, page.photometric
        check_pixels(path, page.imagewidth, page.imagelength, samples * -(-bits // 8))
        if page.is_tiled:
            check_pixels(path, page.tilewidth, page.tilelength, samples * -(-bits // 8))
        extra = [int(what) for what in page.extrasamples]
        plain = page.dtype is not None and page.imagedepth == 1 and not page.is_subsampled
        if not plain or kind not in SAMPLES or samples != SAMPLES[kind] + len(extra):
            raise UnreadableImage(
                _of_other_kind(path, f"{samples} samples of {bits} bits, photometric {kind}")
            )
        values = _words(file, page) if _in_words(page) else page.asarray(maxworkers=1)
        turn = page.tags.get(ORIENTATION)
    values = (
        values.reshape(samples, *values.shape[-2:]).transpose(1, 2, 0) if page.planarconfig == 2 else values
    )
    values = values.reshape(page.imagelength, page.imagewidth, samples)
    picture = _picture(values, bits, int(kind), extra, path)
    return _turned(picture, turn.value if turn else 1)


def _picture(
    values: np.ndarray, bits: int, kind: int, extra: list[int], path: str | os.PathLike
) -> Image.Image:
    """Return height x width x samples as a picture on black."""
    own, unsigned = SAMPLES[kind], values.dtype.kind in "ub"
    alpha = next((own + i for i, what in enumerate(extra) if what in (ASSOCIATED, UNASSOCIATED)), None)
    if values.dtype.kind not in "uibf":
        raise UnreadableImage(_of_other_kind(path, f"numbers of type {values.dtype.name}"))
    if kind in (WHITE_FIRST, BLACK_FIRST):
        grey, white = values[..., 0], kind == WHITE_FIRST
        visible = None if alpha is None else values[..., alpha] > 0
        if unsigned and bits <= 8:
            levels = colour_levels(grey, bits)
            levels = 255 - levels if white else levels
        else:
            levels = stretched(grey, visible, white)
        colour = levels[..., None]
    elif unsigned:
        colour = colour_levels(values[..., :own], bits)
    elif values.dtype.kind == "f" and (levels := unit_levels(values)) is not None:
        colour = levels[..., :own]
    else:
        within = ", not all from 0 to 1" if values.dtype.kind == "f" else ""
        raise UnreadableImage(_of_other_kind(path, f"colour of {values.dtype.name} numbers{within}"))
    if kind == CMYK:
        return Image.fromarray(np.ascontiguousarray(colour), "CMYK").convert("RGB")
    if alpha is not None and extra[alpha - own] == UNASSOCIATED:
        top = 2**bits - 1 if unsigned else 1
        colour = on_black(colour, values[..., alpha], top)
    return Image.fromarray(np.ascontiguousarray(colour[..., 0] if kind != RGB else colour))


def _in_words(page: "TiffPage") -> bool:
    """Return whether samples of 9 to 15 bits stand in a word each; the standard has them packed."""
    narrow = 8 < page.bitspersample < 16 and page.compression == 1 and not page.is_tiled
    words = 2 * page.imagewidth * page.imagelength * page.samplesperpixel
    return narrow and sum(page.databytecounts) == words


def _words(file: BinaryIO, page: "TiffPage") -> np.ndarray:
    """Return the words of all strips, in order."""
    parts = []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        parts.append(file.read(count))
    return np.frombuffer(b"".join(parts), f"{page.parent.byteorder}u2").reshape(
        page.imagelength, page.imagewidth, -1
    )


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture


def _of_other_kind(path: str | os.PathLike, what: str) -> str:
    return f"{path} is a TIFF of a kind that is not read ({what}); convert it to 8 or 16 bits of grey or RGB"


def _several(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)
