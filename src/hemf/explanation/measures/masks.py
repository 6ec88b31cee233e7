"""Lesion masks that belong to images, by their files' names."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from hemf.core.errors import HemfError
from hemf.data.image.read import find_images, read_image

ENDINGS = ("", "_segmentation", "_mask")
"""What a mask's name may have beyond its image's; ISIC and HAM10000 write ``_segmentation``."""
INSIDE = 127
"""Levels above it are lesion."""


def find_masks(folder: str | os.PathLike) -> dict[str, Path]:
    """Find the masks in a folder (and those below it), by the name of their image without suffix.

    Raises:
        HemfError: no such folder, no mask in it, or two for one image.
    """
    found: dict[str, Path] = {}
    for file in find_images(folder):
        ending = next(one for one in reversed(ENDINGS) if file.stem.endswith(one))
        name = file.stem.removesuffix(ending)
        if name in found:
            raise HemfError(f"{found[name]} and {file} are masks of the same image; remove one")
        found[name] = file
    if not found:
        raise HemfError(f"no masks in {folder}; give a folder of images such as NAME_segmentation.png")
    return found


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read which pixels of its image a mask marks.

    Args:
        path: the mask, white where the lesion is.
        size: the image's width and height; a mask of another resolution is stretched to it.

    Returns:
        height x width bool.

    Raises:
        UnreadableImage: it cannot be read.
    """
    mask = read_image(path, "L")
    if mask.size != size:
        mask = mask.resize(size, Image.Resampling.NEAREST)
    return np.asarray(mask) > INSIDE
