"""Perceptual hashes of an image: in its turns, flips and small tilts, and of windows that a crop may keep."""

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from hemf.data.image.strips import shrink

SIDE = 128  # pixels of the small grey image that all hashes come from
THUMBNAIL = 64  # pixels of the image whose fine detail is compared
HASHED = 64  # pixels of a side that imagehash takes 16 x 16 terms of
TURNS = (
    None,
    Transpose.ROTATE_90,
    Transpose.ROTATE_180,
    Transpose.ROTATE_270,
    Transpose.FLIP_LEFT_RIGHT,
    Transpose.FLIP_TOP_BOTTOM,
    Transpose.TRANSPOSE,
    Transpose.TRANSVERSE,
)
TURN_NAMES = (
    "as it is",
    "turned 90°",
    "turned 180°",
    "turned 270°",
    "flipped left to right",
    "flipped top to bottom",
    "flipped and turned 90°",
    "flipped and turned 270°",
    "tilted 3°",
    "tilted -3°",
    "tilted 6°",
    "tilted -6°",
)
TILTS = (3.0, -3.0, 6.0, -6.0)  # degrees; hashes agree within about two


def _windows() -> list[tuple[int, int, int, int]]:
    """Return the boxes of nine tenths of each side in nine places, and of eight tenths in the middle."""
    side = round(0.9 * SIDE)
    places = (0, (SIDE - side) // 2, SIDE - side)
    nine = [(x, y, x + side, y + side) for y in places for x in places]
    margin = SIDE // 10
    return [*nine, (margin, margin, SIDE - margin, SIDE - margin)]


WINDOWS = _windows()
HASHES = len(TURNS) + len(WINDOWS) + len(TILTS)
MIDDLE = len(TURNS) + len(WINDOWS) - 1  # the window whose edges no small tilt has left empty


def small_grey(image: Image.Image) -> Image.Image:
    """Return the image as 128 x 128 grey values, its proportions given up."""
    return shrink(image.convert("L"), (SIDE, SIDE), Image.Resampling.BOX)


def thumbnail(small: Image.Image) -> np.ndarray:
    """Return 64 x 64 grey values of a ``small_grey``, for ``similarity``."""
    return np.asarray(small.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))


def turned(image: Image.Image, turn: int) -> Image.Image:
    """Return an image as ``TURN_NAMES`` calls it: one of ``TURNS``, or tilted by one of ``TILTS``."""
    if turn >= len(TURNS):
        return image.rotate(TILTS[turn - len(TURNS)], Image.Resampling.BILINEAR)
    operation = TURNS[turn]
    return image if operation is None else image.transpose(operation)


def image_hashes(small: Image.Image) -> np.ndarray:
    """Hash perceptually (pHash: signs of the 16 x 16 lowest cosine terms about their median) by imagehash.

    Args:
        small: a grey image of ``SIDE`` x ``SIDE``.

    Returns:
        ``HASHES`` x 4 words of 64 bits: those of the turns, of the windows, and of the tilts' middle.
    """
    whole = small.resize((HASHED, HASHED), Image.Resampling.LANCZOS)
    turns = [_phash(turned(whole, turn)) for turn in range(1, len(TURNS))]
    tilts = [_phash(turned(small, len(TURNS) + tilt).crop(WINDOWS[-1])) for tilt in range(len(TILTS))]
    upright = upright_hashes(small)
    return np.concatenate([upright[:1], turns, upright[1:], tilts])


def upright_hashes(small: Image.Image) -> np.ndarray:
    """Return the hashes without turns, 1 + windows x 4 words: of the whole and of each window."""
    return np.stack([_phash(each) for each in [small, *map(small.crop, WINDOWS)]])


def _phash(image: Image.Image) -> np.ndarray:
    import imagehash

    return np.packbits(imagehash.phash(image, hash_size=16).hash).view(np.uint64)
