"""Limits how large an image may be, judged by its header before any pixel is decoded.

A pixel is counted by the bytes that it needs: those of its file once decoded, and the three of the RGB
picture that becomes of it. An ordinary pixel, 8 bits of red, green and blue, needs 3 + 3 and counts as one.
So a limit of 100 million allows 100 megapixels of 8-bit RGB, 150 of 8-bit grey, 120 of 16-bit grey, 66 of
16-bit RGB and 54 of 64-bit numbers.
"""

import os

from hemf.core.errors import HemfError, UnreadableImage

MAX_PIXELS = 100_000_000
PICTURE_BYTES = 3  # of a pixel of the picture that is made
ORDINARY_BYTES = 3 + PICTURE_BYTES

_max_pixels = MAX_PIXELS


def set_max_pixels(pixels: int) -> None:
    """Set this process's limit, which holds until another is set.

    Processes that read images must set it too: those that are forked have it, others do not.

    Args:
        pixels: the most ordinary pixels that an image may be counted as.

    Raises:
        HemfError: below 1.
    """
    global _max_pixels
    if pixels < 1:
        raise HemfError(f"--max-pixels {pixels} must be at least 1; {MAX_PIXELS:,} is the default")
    _max_pixels = pixels


def max_pixels() -> int:
    """Return this process's limit, in ordinary pixels."""
    return _max_pixels


def max_bytes() -> int:
    """Return what an image of the limit's size needs: the bound on a file, and on what it inflates to."""
    return _max_pixels * ORDINARY_BYTES


def check_pixels(path: str | os.PathLike, width: int, height: int, pixel_bytes: float = 3) -> None:
    """Refuse an image that is too large to decode.

    Args:
        path: its file, for the message.
        width: width in pixels, as its header says.
        height: height in pixels, as its header says.
        pixel_bytes: what a pixel of the file takes in memory once it is decoded, all channels together.

    Raises:
        UnreadableImage: it is larger than the limit, or has no area.
    """
    if width < 1 or height < 1:
        raise UnreadableImage(f"{path} is {width} x {height} pixels, no picture; leave it out")
    if width * height * (pixel_bytes + PICTURE_BYTES) > max_bytes():
        allowed = int(max_bytes() / (pixel_bytes + PICTURE_BYTES))
        raise UnreadableImage(
            f"{path} is {width} x {height} pixels and of its kind at most {allowed:,} are read; cut it into "
            "tiles or shrink it, or give a larger --max-pixels"
        )


def check_bytes(path: str | os.PathLike, size: int, what: str = "is a file of") -> None:
    """Refuse a file, or what it unpacks to, that is larger than any image within the limit.

    Args:
        path: the file, for the message.
        size: size in bytes.
        what: the words between path and size.

    Raises:
        UnreadableImage: it is.
    """
    if size > max_bytes():
        raise UnreadableImage(
            f"{path} {what} {size:,} bytes, more than the {max_bytes():,} of any image that is read; "
            "shrink it, or give a larger --max-pixels"
        )
