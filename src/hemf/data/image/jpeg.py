"""Reads image files as tensors, with a faster decoder than Pillow's if it gives the same pixels."""

import functools
import io
import os
from typing import Literal

import numpy as np
import torch
from PIL import Image
from simplejpeg import decode_jpeg
from torch import Tensor

from hemf.data.image.decode import ORIENTATION
from hemf.data.image.effort import QUICK_FILE, check_effort
from hemf.data.image.read import read_image
from hemf.data.tensor_transforms import as_pixels

JPEG = b"\xff\xd8\xff"  # what such files begin with, whatever their suffix
UPRIGHT = 1
COLOURS = {"RGB": "RGB", "L": "GRAY"}


def read_pixels(path: str | os.PathLike, mode: Literal["RGB", "L"] = "RGB", window: str = "auto") -> Tensor:
    """Return the pixels of ``read_image``, with its rules and errors, sooner for JPEG files.

    Plain upright JPEG files that are soon decoded go through simplejpeg: libjpeg-turbo without the copies of
    Pillow. All others, damaged files among them, are Pillow's.

    Args:
        path: the file.
        mode: ``RGB``, or ``L`` for grey.
        window: window of DICOM files, as ``read_image`` takes it.

    Returns:
        uint8 C x H x W in channels-last memory, C being 3 or 1.

    Raises:
        UnreadableImage: as ``read_image``.
    """
    pixels = jpeg_pixels(path, mode)
    return as_pixels(read_image(path, mode, window)) if pixels is None else pixels


def jpeg_pixels(path: str | os.PathLike, mode: str) -> Tensor | None:
    """Decode an upright JPEG file of ``mode``, or grey for RGB; None for what Pillow should judge."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(JPEG))
            if start != JPEG or os.fstat(file.fileno()).st_size > QUICK_FILE or not _same_decoder():
                return None
            content = io.BytesIO(data := start + file.read())
        with Image.open(content, formats=("JPEG",)) as header:
            check_effort(header, content, path, alone=False)
            plain = header.format == "JPEG" and header.mode in (mode, "L")
            if not plain or header.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT:
                return None
        return _decoded(data, mode)
    except Exception:  # read_image judges it, and names the fault
        return None


def _decoded(data: bytes, mode: str) -> Tensor:
    """Return the pixels of a whole JPEG file; a warning of the decoder is an error."""
    pixels = decode_jpeg(data, COLOURS[mode], fastdct=False, fastupsample=False, strict=True)
    return torch.from_numpy(pixels).permute(2, 0, 1)


@functools.cache
def _same_decoder() -> bool:
    """Return whether the decoder gives Pillow's pixels here: their builds may hold different libraries.

    The test image is noise at odd sizes, with colour at half the resolution, where decoders differ most.
    """
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", quality=80, subsampling="4:2:0")
    return torch.equal(_decoded(file.getvalue(), "RGB"), as_pixels(Image.open(file)))
