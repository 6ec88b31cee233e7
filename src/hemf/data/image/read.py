"""Image files as the network sees them: one frame, upright, 8 bits a channel, RGB or grey."""

import os
from pathlib import Path
from typing import Literal

from PIL import Image

from hemf.core.errors import HemfError
from hemf.data.image.apart import decode_apart
from hemf.data.image.decode import IMAGE_SUFFIXES, decode_here
from hemf.data.image.effort import Laborious


def read_image(
    path: str | os.PathLike, mode: Literal["RGB", "L"] = "RGB", window: str = "auto"
) -> Image.Image:
    """Read PNG, JPEG, TIFF, BMP, WebP, AVIF, DICOM (PGM, JPEG 2000, single GIF) by content, not by suffix.

    Transparent pixels lie on black, and the EXIF orientation is applied. 8-bit values stay as they are.
    Grey of 16 or more bits, whole or floating point, is stretched linearly from the image's own least and
    greatest value to 0..255, because such files rarely fill their range (12 bits in 16 are usual); an image
    of one value becomes black. Colour of 16 bits keeps its upper 8. ``dicom_image`` says how DICOM is read.
    Large images, and those whose decoding may take long, are read in a process of their own.

    Args:
        path: the file, or ``ImageBytes``.
        mode: ``RGB``, or ``L`` for grey by ITU-R 601 weights.
        window: of DICOM files: ``auto`` for their own, or a name in ``hemf.data.dicom.read.WINDOWS`` for CT.

    Returns:
        The image in ``mode``, fully decoded, without metadata.

    Raises:
        UnreadableImage: missing, empty, cut short, no image, of several pages, larger than
            ``hemf.data.image.limits`` allows, or not read in the time that ``hemf.data.image.apart`` gives.
    """
    return decode_image(path, mode, window)[0]


def inspect_image(path: str | os.PathLike) -> tuple[tuple[int, int], str]:
    """Return width and height in pixels, and the mode in Pillow's words, of a file that decodes to its end.

    Raises:
        UnreadableImage: as ``read_image``.
    """
    return decode_image(path)[1:3]


def decode_image(
    path: str | os.PathLike, mode: Literal["RGB", "L"] = "RGB", window: str = "auto"
) -> tuple[Image.Image, tuple[int, int], str, str]:
    """Return an image as ``read_image`` gives it and what its file is like, from one decoding.

    Returns:
        The image in ``mode``; width and height in pixels, mode and format in Pillow's words, all as stored.

    Raises:
        UnreadableImage: as ``read_image``.
    """
    try:
        return decode_here(path, mode, window)
    except Laborious:
        return decode_apart(path, mode, window)


def is_image_name(name: str) -> bool:
    """Return whether a file's name has an image's suffix, in any case.

    Names that begin with a dot have not: they are the shadow files of macOS, which are no images.
    """
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def find_images(folder: str | os.PathLike) -> list[Path]:
    """Find files below ``folder`` with an image's suffix (any case), sorted by their path.

    Files and folders whose names begin with a dot are left out. Links are followed, but no folder is entered
    from within itself.

    Raises:
        HemfError: there is no such folder, or one below it may not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise HemfError(f"no folder {folder}; give one that holds images")
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        real = Path(parent).resolve()
        within = {real, *real.parents}
        folders[:] = [f for f in folders if not f.startswith(".") and Path(parent, f).resolve() not in within]
        found += [Path(parent, name) for name in names if is_image_name(name)]
    return sorted(found, key=lambda p: p.relative_to(folder).parts)


def _cannot_list(error: OSError) -> None:
    """Raise an error for a folder that ``os.walk`` would silently leave out."""
    raise HemfError(
        f"cannot read the folder {error.filename}: {error.strerror}; change its permissions"
    ) from error
