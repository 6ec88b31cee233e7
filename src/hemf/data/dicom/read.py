"""DICOM files as 8-bit pictures: modality values, then a window of them, then grey or colour."""

import os
from typing import BinaryIO

import numpy as np
from PIL import Image
from pydicom.pixels import convert_color_space

from hemf.core.errors import UnreadableImage
from hemf.data.dicom.header import PIXELS, DicomFault, find_pixels, read_header, whole, word
from hemf.data.dicom.lookup_tables import Table, depth, palette
from hemf.data.dicom.pixel_format import PALETTE, pixel_format, with_sign
from hemf.data.dicom.stored_values import is_laborious, stored_values, working_bytes
from hemf.data.dicom.window import WINDOWS, grey_picture, strips, windowed
from hemf.data.image.effort import Laborious
from hemf.data.image.limits import check_bytes, check_pixels

__all__ = ["WINDOWS", "dicom_image", "windowed"]


def dicom_image(
    file: BinaryIO, path: str | os.PathLike, window: str = "auto", alone: bool = True
) -> Image.Image:
    """Read the picture in a DICOM file, in mode ``L`` or ``RGB``.

    Grey: stored values become modality values (modality LUT, or rescale slope and intercept), the window maps
    these to black ... white, and MONOCHROME1 is turned over. ``auto`` is the file's first VOI LUT, else its
    first window (PS3.3 C.11.2), else the full range: values of at most 8 bits stay as they are, others are
    stretched from the least to the greatest that is no padding. Padding is black. Colour and palettes keep
    their upper 8 bits.

    Args:
        file: opened for reading, at its beginning.
        path: its name, for messages.
        window: ``auto``, or a name in ``WINDOWS`` for a CT image.
        alone: whether this process is there for this image and can be stopped.

    Raises:
        Laborious: its decoding may take long or end the process, which is not ``alone``.
        MemoryError: there is too little.
        UnreadableImage: no image, several frames, no CT image though a CT window is asked for, compressed as
            no installed library decodes, an element missing or out of range, damaged, or above the limit of
            ``hemf.data.image.limits``. The message quotes nothing of the header.
    """
    try:
        return Image.fromarray(_picture(file, path, window, alone))
    except (UnreadableImage, Laborious, MemoryError):
        raise
    except DicomFault as fault:
        said = f"{path} cannot be shown: {fault}"
    except Exception:  # its words may be the header's
        said = f"{path} is a damaged or unusual DICOM file; export it again, or leave it out"
    raise UnreadableImage(said) from None


def _picture(file: BinaryIO, path: str | os.PathLike, window: str, alone: bool) -> np.ndarray:
    """Return height x width grey, or height x width x 3 colour, uint8."""
    header, stream = read_header(file)
    found = find_pixels(header, stream)
    if found is None:
        raise UnreadableImage(f"{path} is no DICOM image but a report, plan or directory; leave it out")
    frames = whole(header, "NumberOfFrames", 0, 2**31 - 1) or 1
    if frames > 1:
        raise UnreadableImage(f"{path} holds {frames} frames; save the one to classify as its own file")
    if window != "auto" and word(header, "Modality") != "CT":
        raise UnreadableImage(f"{path} is no CT image, so a CT window cannot show it; give --window auto")
    pixels, end = found
    form = pixel_format(header, PIXELS[pixels.tag], pixels.length)
    syntax = header.file_meta.TransferSyntaxUID
    check_pixels(path, form.columns, form.rows, working_bytes(syntax, form))
    check_bytes(path, end - pixels.value_tell, "holds pixels of")
    if is_laborious(syntax, form) and not alone:
        raise Laborious
    stored, kind = stored_values(stream, pixels, end, syntax, form)
    form = with_sign(form, stored)
    little = bool(header.original_encoding[1])
    if form.kind == PALETTE:
        return _palette_picture(stored, palette(header, little))
    if form.samples == 3:
        return _colour_picture(stored, form.stored, kind)
    return grey_picture(header, stored, form, window, little)


def _colour_picture(stored: np.ndarray, bits: int, kind: str) -> np.ndarray:
    """Return red, green and blue of 8 bits from three colours of another number of bits."""
    picture = np.empty(stored.shape, np.uint8)
    for rows in strips(stored):
        picture[rows] = _eight_bits(stored[rows], bits)
        if kind.startswith("YBR_FULL"):
            picture[rows] = convert_color_space(picture[rows], "YBR_FULL", "RGB")
    return picture


def _palette_picture(stored: np.ndarray, tables: list[Table]) -> np.ndarray:
    bits = depth(tables)
    picture = np.empty((*stored.shape, len(tables)), np.uint8)
    for rows in strips(stored):
        for channel, table in enumerate(tables):
            picture[rows, :, channel] = _eight_bits(table(stored[rows]), bits)
    return picture


def _eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Return the upper 8 bits of values of more, and values of fewer bits on the scale of 8."""
    if bits >= 8:
        return (values >> (bits - 8)).astype(np.uint8)
    return np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)
