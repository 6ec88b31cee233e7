"""Converts pixels of more than 8 bits to 8-bit grey or colour."""

from collections.abc import Iterator

import numpy as np

BAND = 2**20  # values that are worked on at once, so that wide images need little memory beside their own
SMALL_TYPES = ("u1", "i1", "u2", "i2")
CAMERA_BITS = 12  # that cameras and X-ray detectors write into words of 16


def stretched(values: np.ndarray, visible: np.ndarray | None = None, white_first: bool = False) -> np.ndarray:
    """Stretch values to 0 (the least that occurs) to 255 (the greatest), in a straight line between.

    Args:
        values: height x width, whole or floating-point numbers of any width.
        visible: height x width, the pixels whose values count; the others become 0. By default all.
        white_first: the least value is white.

    Returns:
        uint8, height x width; 0 where all values are the same.

    Raises:
        ValueError: a value that counts is not a finite number.
    """
    grey = np.zeros(values.shape, np.uint8)
    low, high = _range(values, visible)
    if not high > low:
        return grey
    scale, small = 255 / (high - low), values.dtype.str[1:] in SMALL_TYPES
    table = _levels(np.arange(low, high + 1), low, scale) if small else None
    for rows in bands(*values.shape[:2]):
        band = values[rows]
        if visible is not None:
            band = np.where(visible[rows], band, np.asarray(low, values.dtype))
        if table is not None:
            grey[rows] = table[band.astype(np.int32) - int(low)]
        else:
            grey[rows] = _levels(band.astype(np.float64), low, scale)
        if white_first:
            np.subtract(255, grey[rows], out=grey[rows])
        if visible is not None:
            grey[rows] *= visible[rows]
    return grey


def _levels(values: np.ndarray, low: float, scale: float) -> np.ndarray:
    return np.rint((values - low) * scale).astype(np.uint8)


def _range(values: np.ndarray, visible: np.ndarray | None) -> tuple[float, float]:
    """Return the least and the greatest value that counts; 0 and 0 where none does."""
    lows, highs = [], []
    for rows in bands(*values.shape[:2]):
        band = values[rows] if visible is None else values[rows][visible[rows]]
        if not band.size:
            continue
        if not np.isfinite(band).all():
            raise ValueError("some pixels are not finite numbers")
        lows.append(float(band.min()))
        highs.append(float(band.max()))
    return (min(lows), max(highs)) if lows else (0.0, 0.0)


def bands(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of an image, a few at a time."""
    step = max(1, BAND // max(1, width))
    for top in range(0, height, step):
        yield slice(top, top + step)


def colour_levels(values: np.ndarray, bits: int) -> np.ndarray:
    """Return unsigned samples as 8 bits: the upper 8, or the few that there are spread to 0..255.

    Samples of 16 bits none of which needs more than 12 are taken for those of a 12-bit camera, which would be
    all but black.

    Args:
        values: values of any shape, whole and at least 0.
        bits: bits of a sample.
    """
    if bits <= 8:
        return values if bits == 8 else np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)
    used = CAMERA_BITS if bits == 16 and values.max(initial=0) < 2**CAMERA_BITS else bits
    return (values >> (used - 8)).astype(np.uint8)


def unit_levels(values: np.ndarray) -> np.ndarray | None:
    """Return samples from 0 to 1 as the nearest of 256 levels; None where one lies outside.

    Args:
        values: height x width x channels, floating point.

    Raises:
        ValueError: one is not a finite number.
    """
    levels = np.empty(values.shape, np.uint8)
    for rows in bands(*values.shape[:2]):
        band = values[rows].astype(np.float64)
        if not np.isfinite(band).all():
            raise ValueError("some pixels are not finite numbers")
        if band.size and not 0 <= band.min() <= band.max() <= 1:
            return None
        levels[rows] = np.rint(band * 255)
    return levels


def on_black(colour: np.ndarray, alpha: np.ndarray, top: float = 1) -> np.ndarray:
    """Return height x width x channels, uint8, as seen on black.

    Args:
        colour: height x width x channels, uint8.
        alpha: height x width, from 0, where nothing is seen, to ``top``.
        top: where the colour is opaque.
    """
    seen = np.empty_like(colour)
    for rows in bands(*alpha.shape[:2]):
        share = alpha[rows][..., None].astype(np.float64) / top
        seen[rows] = np.rint(colour[rows] * share).astype(np.uint8)
    return seen
