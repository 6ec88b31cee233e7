"""Decodes image files in this process: picks the reader, and refuses what should not be read."""

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from hemf.core.errors import UnreadableImage
from hemf.core.text import one_line
from hemf.data.image.effort import QUICK_FILE, Laborious, check_effort
from hemf.data.image.limits import check_bytes
from hemf.data.image.png import (
    GREY_ALPHA,
    RGB,
    RGBA,
    has_large_notes,
    scale_transparency,
    wide_kind,
    wide_picture,
    without_notes,
)
from hemf.data.image.tiff import UPRIGHT, is_tiff, pillow_reads, tiff_picture
from hemf.data.image.wide import stretched

# Pillow's own limit is not ours, and of damaged metadata it warns tag by tag.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
Image.init()  # all readers at once: Pillow's loading on demand fails when threads race for it

# Pillow decides by content among these alone: its other readers start programs (EPS) or follow links.
ImageMode = Literal["RGB", "L"]
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "PPM", "JPEG2000", "GIF", "AVIF")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
IMAGE_SUFFIXES = frozenset(
    (*DICOM_SUFFIXES, *(s for s, name in Image.registered_extensions().items() if name in FORMATS))
)

WIDE_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
MOST_COUNTED, FEW_BYTES = 100, 2**20  # pages that are counted one by one, and the file whose pages are
PREVIEWED = ("MPO",)  # photographs whose further frames are previews or a second eye's view

ORIENTATION, PHOTOMETRIC, MIN_IS_WHITE = 0x0112, 262, 0


@dataclass(frozen=True)
class ImageBytes(os.PathLike):
    """An image file that lies in memory and on no disk, given wherever ``read_image`` takes a path.

    Args:
        name: what messages call it; its suffix counts as that of a file.
        data: what the file holds.
    """

    name: str
    data: bytes

    def __fspath__(self) -> str:
        """Return the name: for messages and the suffix, not to open."""
        return self.name

    def __str__(self) -> str:
        """Return the name."""
        return self.name


def plain_image(image: Image.Image, mode: ImageMode = "RGB") -> Image.Image:
    """Return an image already opened, as ``read_image`` would give it; Pillow's own errors pass through."""
    image.load()  # which turns TIFFs upright by itself, and finds orientations written behind the pixels
    return _upright(_plain(image, mode), image)


def _plain(image: Image.Image, mode: str) -> Image.Image:
    """Return a decoded image in 8 bits, on black."""
    if image.mode in WIDE_GREY:
        image = Image.fromarray(stretched(np.asarray(image), white_first=_min_is_white(image)))
    elif image.has_transparency_data:
        image = _on_black(image.convert("RGBA"))
    return image.convert(mode)


def _upright(plain: Image.Image, image: Image.Image) -> Image.Image:
    """Turn an image as the metadata of the decoded ``image`` say, and drop them."""
    orientation = image.getexif().get(ORIENTATION)
    if orientation in UPRIGHT:
        plain = plain.transpose(UPRIGHT[orientation])
    plain.info = {}
    return plain


def decode_here(
    path: str | os.PathLike, mode: str, window: str, alone: bool = False
) -> tuple[Image.Image, tuple[int, int], str, str]:
    """Do what ``decode_image`` does, in this process.

    Raises:
        UnreadableImage: as ``read_image``.
        Laborious: it may take long, and the process is not ``alone`` with it.
    """
    with _opened(path, alone) as file:
        if is_dicom(file, path):
            from hemf.data.dicom.read import dicom_image

            return _as_stored(dicom_image(file, path, window, alone), mode)
        try:
            return _decoded(file, path, mode, alone)
        except Exception as error:
            if not has_large_notes(error):
                raise
            return _decoded(without_notes(file), path, mode, alone)


def _decoded(
    file: BinaryIO, path: str | os.PathLike, mode: str, alone: bool
) -> tuple[Image.Image, tuple[int, int], str, str]:
    """Decode a file with Pillow, or with tifffile if Pillow would read it wrongly."""
    wide = wide_kind(file)
    try:
        opened = Image.open(file, formats=FORMATS)
    except Image.UnidentifiedImageError:
        file.seek(0)
        if not is_tiff(file):
            raise
        return _through_tifffile(file, path, mode, alone)
    with opened as image:
        _check_pages(image, file, path)
        check_effort(image, file, path, alone, 2 if wide in (RGB, GREY_ALPHA, RGBA) else 1)
        if isinstance(image, TiffImageFile) and not pillow_reads(image):
            file.seek(0)
            return _through_tifffile(file, path, mode, alone)
        image.load()  # which turns TIFFs upright by itself, and finds orientations written behind the pixels
        if image.format == "PNG":
            scale_transparency(image, file)
        plain = _plain(image if wide is None else wide_picture(image, file, wide), mode)
        return _upright(plain, image), image.size, image.mode, image.format or ""


def _through_tifffile(
    file: BinaryIO, path: str | os.PathLike, mode: str, alone: bool
) -> tuple[Image.Image, tuple[int, int], str, str]:
    if not alone:  # its parser bounds neither time nor memory
        raise Laborious
    return _as_stored(tiff_picture(file, path), mode, "TIFF")


def _as_stored(
    image: Image.Image, mode: str, kind: str = ""
) -> tuple[Image.Image, tuple[int, int], str, str]:
    """Return a picture that another library made, beside what is known of its file."""
    return image.convert(mode), image.size, image.mode, kind


@contextmanager
def _opened(path: str | os.PathLike, alone: bool) -> Iterator[BinaryIO]:
    """Open the file, and turn whatever is raised inside the block into ``UnreadableImage``."""
    try:
        size = len(path.data) if isinstance(path, ImageBytes) else _size_of(path)
        _check_size(path, size, alone)
        # by handle: given a name, Pillow 13 maps TIFFs that lie on their side with width for height
        with io.BytesIO(path.data) if isinstance(path, ImageBytes) else open(path, "rb") as file:
            yield file
    except (UnreadableImage, Laborious):
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
    except Image.DecompressionBombError:  # Pillow's own limit; ours is judged where Pillow's is off
        raise Laborious from None
    except MemoryError as error:
        raise UnreadableImage(
            f"{path} needs more memory than there is; shrink it, or leave it out"
        ) from error
    except Exception as error:  # damaged files make Pillow's parsers raise nearly anything
        reason = one_line(error)
        raise UnreadableImage(
            f"{path} is damaged ({reason}); fetch or export it again, or leave it out"
        ) from error


def _size_of(path: str | os.PathLike) -> int:
    """Return the size of a file in bytes, and refuse what is not a file to read."""
    about = os.stat(path)
    if stat.S_ISDIR(about.st_mode):
        raise UnreadableImage(f"{path} is a folder; give an image file")
    if not stat.S_ISREG(about.st_mode):  # such as a pipe, which would be waited for
        raise UnreadableImage(f"{path} is no file; give an image file")
    return about.st_size


def _check_size(path: str | os.PathLike, size: int, alone: bool) -> None:
    """Refuse files that are empty or too large; a large one is read in a process of its own."""
    if size == 0:
        raise UnreadableImage(f"{path} is an empty file; copy it again from its source, or leave it out")
    check_bytes(path, size)
    if size > QUICK_FILE and not alone:
        raise Laborious


def _check_pages(image: Image.Image, file: BinaryIO, path: str | os.PathLike) -> None:
    """Refuse several pages; their number is told where it is soon known."""
    if image.format in PREVIEWED or not getattr(image, "is_animated", False):
        return
    number = "several"
    if image.format == "TIFF" or _bytes_in(file) < FEW_BYTES:
        number = _counted_pages(image) if image.format == "TIFF" else str(getattr(image, "n_frames", number))
    raise UnreadableImage(f"{path} holds {number} pages; save the one to classify as its own file")


def _bytes_in(file: BinaryIO) -> int:
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(place)
    return size


def _counted_pages(image: Image.Image) -> str:
    page = 1
    try:
        for page in range(1, MOST_COUNTED):
            image.seek(page)
    except EOFError:
        return str(page)
    return f"over {page}"


def is_dicom(file: BinaryIO, path: str | os.PathLike) -> bool:
    """Say whether a file has DICOM's preamble, or its suffix and one of the groups that come first."""
    head = file.read(132)
    file.seek(0)
    named = os.path.splitext(path)[1].lower() in DICOM_SUFFIXES
    return head[128:] == b"DICM" or (named and head[:2] in (b"\x02\0", b"\x08\0", b"\0\x08"))


def _on_black(image: Image.Image) -> Image.Image:
    """Lay an RGBA image on black; most files with transparency have nothing transparent in them."""
    if image.getchannel("A").getextrema() == (255, 255):
        return image
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    black.alpha_composite(image)
    return black


def _min_is_white(image: Image.Image) -> bool:
    """Return whether a TIFF counts from white; Pillow turns such files over at 8 bits, not at more."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC) == MIN_IS_WHITE
