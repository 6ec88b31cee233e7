"""Image files as tensors, by a faster decoder than Pillow's where that gives the same pixels."""

import functools
import io
import os
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from hemf.data.image import ORIENTATION, read_image
from hemf.data.pixels import as_pixels

UPRIGHT = 1
MODES = {"RGB": ImageReadMode.RGB, "L": ImageReadMode.GRAY}


def read_pixels(
    path: str | os.PathLike, mode: Literal["RGB", "L"] = "RGB", window: str = "auto"
) -> Tensor:
    """The pixels of ``read_image``, with its rules and errors, sooner for JPEG files.

    Plain upright JPEG files go through torchvision's libjpeg-turbo, which spares Pillow's copies. All others,
    those of a damaged file among them, are Pillow's.

    Args:
        path: the file.
        mode: ``RGB``, or ``L`` for grey.
        window: of DICOM files, as ``read_image`` takes it.

    Returns:
        uint8 C x H x W in channels-last memory, C being 3 or 1.

    Raises:
        UnreadableImage: as ``read_image``.
    """
    pixels = _plain_jpeg(path, mode) if _same_decoder() else None
    return as_pixels(read_image(path, mode, window)) if pixels is None else pixels


def _plain_jpeg(path: str | os.PathLike, mode: str) -> Tensor | None:
    """Pixels of an upright JPEG file of ``mode``, or grey for RGB; None for what Pillow should judge."""
    if not os.fspath(path).lower().endswith((".jpg", ".jpeg")):
        return None
    try:
        data = np.fromfile(path, np.uint8)
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as header:
            plain = header.format == "JPEG" and header.mode in (mode, "L")
            if not plain or header.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT:
                return None
        return decode_jpeg(torch.from_numpy(data), MODES[mode])
    except Exception:  # Pillow names the fault
        return None


@functools.cache
def _same_decoder() -> bool:
    """Whether torchvision's decoder gives Pillow's pixels here: builds may hold different libraries.

    The test image is noise at odd sizes, with colour at half the resolution, where decoders differ most.
    """
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", quality=80, subsampling="4:2:0")
    data = torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)
    try:
        found = decode_jpeg(data, ImageReadMode.RGB)
    except RuntimeError:  # built without libjpeg
        return False
    return torch.equal(found, as_pixels(Image.open(file)))
