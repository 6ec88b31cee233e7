"""Image files as the network sees them: one frame, upright, 8 bits a channel, RGB or grey."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Transpose

from hemf.errors import HemfError, UnreadableImage

Image.init()  # all readers at once: Pillow's loading on demand fails when threads race for it

# Pillow decides by content among these alone: its other readers start programs (EPS) or follow links.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "PPM", "JPEG2000", "GIF")
DICOM_SUFFIXES = (".dcm", ".dicom")
IMAGE_SUFFIXES = frozenset(
    (*DICOM_SUFFIXES, *(s for s, name in Image.registered_extensions().items() if name in FORMATS))
)

WIDE_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
PREVIEWED = ("MPO",)  # photographs whose further frames are previews or a second eye's view

ORIENTATION, PHOTOMETRIC, MIN_IS_WHITE = 0x0112, 262, 0
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def read_image(
    path: str | os.PathLike, mode: Literal["RGB", "L"] = "RGB", window: str = "auto"
) -> Image.Image:
    """Read PNG, JPEG, TIFF, BMP, WebP, DICOM (PGM, JPEG 2000, single GIF) by content, whatever the suffix.

    Transparent pixels lie on black, and the EXIF orientation is applied. 8-bit values stay as they are.
    Grey of 16 or more bits, whole or floating point, is stretched linearly from the image's own least and
    greatest value to 0..255, because such files rarely fill their range (12 bits in 16 are usual); an image
    of one value becomes black. Colour of 16 bits keeps its upper 8. ``dicom_image`` says how DICOM is read.

    Args:
        path: the file.
        mode: ``RGB``, or ``L`` for grey by ITU-R 601 weights.
        window: of DICOM files: ``auto`` for their own, or a name in ``hemf.data.dicom.WINDOWS`` for CT.

    Returns:
        The image in ``mode``, fully decoded, without metadata.

    Raises:
        UnreadableImage: missing, empty, cut short, no image, of several pages, or too large to decode safely.
    """
    with _opened(path, window) as image:
        return plain_image(image, mode)


def plain_image(image: Image.Image, mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
    """An image already opened, as ``read_image`` would give it; Pillow's own errors pass through."""
    image.load()  # which turns TIFFs upright by itself, and finds orientations written behind the pixels
    orientation = image.getexif().get(ORIENTATION)
    if image.mode in WIDE_GREY:
        plain = _stretched(image)
    elif image.has_transparency_data:
        plain = _on_black(image.convert("RGBA"))
    else:
        plain = image
    plain = plain.convert(mode)
    if orientation in UPRIGHT:
        plain = plain.transpose(UPRIGHT[orientation])
    plain.info = {}
    return plain


def inspect_image(path: str | os.PathLike) -> tuple[tuple[int, int], str]:
    """Width and height in pixels, and the mode in Pillow's words, of a file that decodes to its end.

    Raises:
        UnreadableImage: as ``read_image``.
    """
    with _opened(path) as image:
        image.load()
        return image.size, image.mode


def decode_image(path: str | os.PathLike) -> tuple[Image.Image, tuple[int, int], str, str]:
    """An image as ``read_image`` gives it and what its file is like, from one decoding.

    Returns:
        The RGB image; width and height in pixels, mode and format in Pillow's words, all as stored.

    Raises:
        UnreadableImage: as ``read_image``.
    """
    with _opened(path) as image:
        plain = plain_image(image)
        return plain, image.size, image.mode, image.format or ""


def is_image_name(name: str) -> bool:
    """Whether a file's name has an image's suffix, in any case.

    Names that begin with a dot have not: they are the shadow files of macOS, which are no images.
    """
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def find_images(folder: str | os.PathLike) -> list[Path]:
    """Files below ``folder`` with an image's suffix (any case), sorted by their path.

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
    """``os.walk`` would leave out such a folder without a word."""
    raise HemfError(
        f"cannot read the folder {error.filename}: {error.strerror}; change its permissions"
    ) from error


@contextmanager
def _opened(path: str | os.PathLike, window: str = "auto") -> Iterator[Image.Image]:
    """The opened image of one frame; whatever Pillow raises inside the block becomes ``UnreadableImage``."""
    try:
        if os.path.isdir(path):
            raise UnreadableImage(f"{path} is a folder; give an image file")
        if os.path.getsize(path) == 0:
            raise UnreadableImage(f"{path} is an empty file; copy it again from its source, or leave it out")
        # by handle: given a name, Pillow 13 maps TIFFs that lie on their side with width for height
        with open(path, "rb") as file:
            if _is_dicom(file, path):
                from hemf.data.dicom import dicom_image

                yield dicom_image(file, path, window)
                return
            with Image.open(file, formats=FORMATS) as image:
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format not in PREVIEWED:
                    raise UnreadableImage(
                        f"{path} holds {frames} pages; save the one to classify as its own file"
                    )
                yield image
    except UnreadableImage:
        raise
    except FileNotFoundError as error:
        raise UnreadableImage(f"no image {path}; check the name and the data set's root") from error
    except PermissionError as error:
        raise UnreadableImage(f"{path} may not be read; change its permissions") from error
    except Image.UnidentifiedImageError as error:
        kinds = "PNG, JPEG, TIFF, BMP or WebP"
        raise UnreadableImage(
            f"{path} is not an image hemf reads; convert it to {kinds}, or leave it out"
        ) from error
    except Image.DecompressionBombError as error:
        limit = f"{2 * (Image.MAX_IMAGE_PIXELS or 0):,}"
        raise UnreadableImage(
            f"{path} has more than {limit} pixels; cut it into tiles or shrink it"
        ) from error
    except Exception as error:  # damaged files make Pillow's parsers raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(
            f"{path} is damaged ({reason}); fetch or export it again, or leave it out"
        ) from error


def _is_dicom(file: BinaryIO, path: str | os.PathLike) -> bool:
    """Whether a file has DICOM's preamble, or its suffix and one of the groups that come first in it."""
    head = file.read(132)
    file.seek(0)
    named = os.path.splitext(path)[1].lower() in DICOM_SUFFIXES
    return head[128:] == b"DICM" or (named and head[:2] in (b"\x02\0", b"\x08\0", b"\0\x08"))


def _on_black(image: Image.Image) -> Image.Image:
    """An RGBA image on black; itself where nothing is transparent, as in most files with transparency."""
    if image.getchannel("A").getextrema() == (255, 255):
        return image
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    black.alpha_composite(image)
    return black


def _stretched(image: Image.Image) -> Image.Image:
    """Wide grey values as 8 bits, from the least to the greatest that occurs."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("some pixels are not finite numbers")
    low, high = values.min(), values.max()
    stretched = (values - low) * (255 / (high - low) if high > low else 0)
    grey = Image.fromarray(np.rint(stretched).astype(np.uint8))
    return ImageOps.invert(grey) if _min_is_white(image) and high > low else grey


def _min_is_white(image: Image.Image) -> bool:
    """Whether a TIFF counts from white; Pillow turns such files over at 8 bits, not at more."""
    return (
        image.format == "TIFF"
        and image.mode.startswith("I;16")
        and image.tag_v2.get(PHOTOMETRIC) == MIN_IS_WHITE
    )
