"""Image files as the network sees them: one frame, upright, 8 bits a channel, RGB or grey."""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from hemf.data.apart import decode_apart
from hemf.data.effort import QUICK_FILE, Laborious, check_effort
from hemf.data.limits import check_bytes
from hemf.data.png import (
    GREY_ALPHA,
    RGB,
    RGBA,
    has_large_notes,
    scale_transparency,
    wide_kind,
    wide_picture,
    without_notes,
)
from hemf.data.tiff import is_tiff, pillow_reads, tiff_picture
from hemf.data.wide import stretched
from hemf.errors import HemfError, UnreadableImage

# Pillow's own limit is not ours, and of damaged metadata it warns tag by tag.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
Image.init()  # all readers at once: Pillow's loading on demand fails when threads race for it

# Pillow decides by content among these alone: its other readers start programs (EPS) or follow links.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "PPM", "JPEG2000", "GIF", "AVIF")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
IMAGE_SUFFIXES = frozenset(
    (*DICOM_SUFFIXES, *(s for s, name in Image.registered_extensions().items() if name in FORMATS))
)

WIDE_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
MOST_COUNTED, FEW_BYTES = 100, 2**20  # pages that are counted one by one, and the file whose pages are
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
    """Read PNG, JPEG, TIFF, BMP, WebP, AVIF, DICOM (PGM, JPEG 2000, single GIF) by content, not by suffix.

    Transparent pixels lie on black, and the EXIF orientation is applied. 8-bit values stay as they are.
    Grey of 16 or more bits, whole or floating point, is stretched linearly from the image's own least and
    greatest value to 0..255, because such files rarely fill their range (12 bits in 16 are usual); an image
    of one value becomes black. Colour of 16 bits keeps its upper 8. ``dicom_image`` says how DICOM is read.
    Large images, and those whose decoding may take long, are read in a process of their own.

    Args:
        path: the file.
        mode: ``RGB``, or ``L`` for grey by ITU-R 601 weights.
        window: of DICOM files: ``auto`` for their own, or a name in ``hemf.data.dicom.WINDOWS`` for CT.

    Returns:
        The image in ``mode``, fully decoded, without metadata.

    Raises:
        UnreadableImage: missing, empty, cut short, no image, of several pages, larger than
            ``hemf.data.limits`` allows, or not read in the time that ``hemf.data.apart`` gives.
    """
    return decode_image(path, mode, window)[0]


def plain_image(image: Image.Image, mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
    """An image already opened, as ``read_image`` would give it; Pillow's own errors pass through."""
    image.load()  # which turns TIFFs upright by itself, and finds orientations written behind the pixels
    return _upright(_plain(image, mode), image)


def _plain(image: Image.Image, mode: str) -> Image.Image:
    """A decoded image in 8 bits, on black."""
    if image.mode in WIDE_GREY:
        image = Image.fromarray(stretched(np.asarray(image), white_first=_min_is_white(image)))
    elif image.has_transparency_data:
        image = _on_black(image.convert("RGBA"))
    return image.convert(mode)


def _upright(plain: Image.Image, image: Image.Image) -> Image.Image:
    """Turned as the metadata of the decoded ``image`` say, and without any."""
    orientation = image.getexif().get(ORIENTATION)
    if orientation in UPRIGHT:
        plain = plain.transpose(UPRIGHT[orientation])
    plain.info = {}
    return plain


def inspect_image(path: str | os.PathLike) -> tuple[tuple[int, int], str]:
    """Width and height in pixels, and the mode in Pillow's words, of a file that decodes to its end.

    Raises:
        UnreadableImage: as ``read_image``.
    """
    return decode_image(path)[1:3]


def decode_image(
    path: str | os.PathLike, mode: Literal["RGB", "L"] = "RGB", window: str = "auto"
) -> tuple[Image.Image, tuple[int, int], str, str]:
    """An image as ``read_image`` gives it and what its file is like, from one decoding.

    Returns:
        The image in ``mode``; width and height in pixels, mode and format in Pillow's words, all as stored.

    Raises:
        UnreadableImage: as ``read_image``.
    """
    try:
        return decode_here(path, mode, window)
    except Laborious:
        return decode_apart(path, mode, window)


def decode_here(
    path: str | os.PathLike, mode: str, window: str, alone: bool = False
) -> tuple[Image.Image, tuple[int, int], str, str]:
    """``decode_image`` in this process.

    Raises:
        UnreadableImage: as ``read_image``.
        Laborious: it may take long, and the process is not ``alone`` with it.
    """
    with _opened(path, alone) as file:
        if is_dicom(file, path):
            from hemf.data.dicom import dicom_image

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
    """A file through Pillow, or through tifffile what Pillow would read wrongly."""
    wide = wide_kind(file)
    try:
        opened = Image.open(file, formats=FORMATS)
    except Image.UnidentifiedImageError:
        file.seek(0)
        if not is_tiff(file):
            raise
        return _through_tifffile(file, path, mode, alone)
    with opened as image:
        _check_pages(image, path)
        check_effort(image, file, path, alone, 2 if wide in (RGB, GREY_ALPHA, RGBA) else 1)
        if image.format == "TIFF" and not pillow_reads(image):
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
    """A picture that another library made, beside what is known of its file."""
    return image.convert(mode), image.size, image.mode, kind


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
def _opened(path: str | os.PathLike, alone: bool) -> Iterator[BinaryIO]:
    """The opened file; whatever is raised inside the block becomes ``UnreadableImage``."""
    try:
        _check_file(path, alone)
        # by handle: given a name, Pillow 13 maps TIFFs that lie on their side with width for height
        with open(path, "rb") as file:
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
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(
            f"{path} is damaged ({reason}); fetch or export it again, or leave it out"
        ) from error


def _check_file(path: str | os.PathLike, alone: bool) -> None:
    """Refuse what is no file to read; one of many bytes is read apart."""
    about = os.stat(path)
    if stat.S_ISDIR(about.st_mode):
        raise UnreadableImage(f"{path} is a folder; give an image file")
    if not stat.S_ISREG(about.st_mode):  # such as a pipe, which would be waited for
        raise UnreadableImage(f"{path} is no file; give an image file")
    if about.st_size == 0:
        raise UnreadableImage(f"{path} is an empty file; copy it again from its source, or leave it out")
    check_bytes(path, about.st_size)
    if about.st_size > QUICK_FILE and not alone:
        raise Laborious


def _check_pages(image: Image.Image, path: str | os.PathLike) -> None:
    """Refuse several pages; their number is told where it is soon known."""
    if image.format in PREVIEWED or not getattr(image, "is_animated", False):
        return
    number = "several"
    if image.format == "TIFF" or os.path.getsize(path) < FEW_BYTES:
        number = _counted_pages(image) if image.format == "TIFF" else str(image.n_frames)
    raise UnreadableImage(f"{path} holds {number} pages; save the one to classify as its own file")


def _counted_pages(image: Image.Image) -> str:
    try:
        for page in range(1, MOST_COUNTED):
            image.seek(page)
    except EOFError:
        return str(page)
    return f"over {page}"


def is_dicom(file: BinaryIO, path: str | os.PathLike) -> bool:
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


def _min_is_white(image: Image.Image) -> bool:
    """Whether a TIFF counts from white; Pillow turns such files over at 8 bits, not at more."""
    return image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == MIN_IS_WHITE
