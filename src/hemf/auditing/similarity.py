"""Decides whether two images really show the same picture, by laying their fine detail over one another.

A perceptual hash sees coarse brightness only, and to it one dark spot on plain skin is like another. Hairs,
skin markings and vessels differ, so the middle of one image's detail is sought in the other's at several
scales, by normalised cross-correlation.
"""

from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np
import scipy.fft
from PIL import Image
from scipy.ndimage import gaussian_filter

from hemf.data.image.hashes import TURNS, turned

SAME = 0.63  # measured: see docs/how-to/audit.md
SAME_TILTED = 0.7  # of a tilted one: 0.667 was reached by two different lesions, true ones are above 0.75
SCALES = (1.0, 1.05, 0.95, 1.11, 0.9, 1.25, 0.8)
TEMPLATE = 0.7  # of each side: the middle, which a crop or a text in a corner leaves
SPECTRUM = 96  # a side that no enlarged thumbnail exceeds
SURE = 0.9  # other scales are left out beyond this

# To a type checker they give what SciPy dispatches on, not what they compute.
irfft2 = cast("Callable[..., np.ndarray]", scipy.fft.irfft2)
rfft2 = cast("Callable[..., np.ndarray]", scipy.fft.rfft2)


def similarity(pair: tuple[np.ndarray, np.ndarray, int]) -> float:
    """Return the greatest normalised cross-correlation, over scales and places, of the detail of two images.

    Args:
        pair: two thumbnails (64 x 64 grey values) and the turn of the second, as ``turned`` takes it.

    Returns:
        1 for equal images, about 0.3 for unrelated ones, 0 where there is no detail.
    """
    whole, other, turn = pair
    if turn:
        other = np.asarray(turned(Image.fromarray(other), turn))
    template, best = _detail(other), 0.0
    for scale in SCALES:
        best = max(best, _correlation(_detail(_scaled(whole, scale)), template, min(1.0, scale)))
        if best >= SURE:
            break
    return round(best, 3)


def least(turn: int) -> float:
    """Return the similarity from which on two images, one of them turned, show the same picture."""
    return SAME if turn < len(TURNS) else SAME_TILTED


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    side = round(len(image) * scale)
    if side == len(image):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def _detail(image: np.ndarray) -> np.ndarray:
    """Return what is finer than about four pixels, over its own local strength."""
    values = image.astype(np.float32)
    fine = values - gaussian_filter(values, 2)
    strength = np.sqrt(gaussian_filter(fine * fine, 4))
    return fine / (strength + 1.5)  # 1.5 grey values: noise of a plain area is no detail


def _correlation(whole: np.ndarray, template: np.ndarray, share: float) -> float:
    """Return the greatest correlation of the template's middle with any part of ``whole`` of that size."""
    side = round(len(template) * TEMPLATE * share)
    start, places = (len(template) - side) // 2, len(whole) - side + 1
    middle = template[start : start + side, start : start + side]
    size = (SPECTRUM, SPECTRUM)
    product = rfft2(whole, size) * np.conj(rfft2(middle, size))
    square = rfft2(whole * whole, size) * _box_spectrum(side)
    sums = irfft2(product, size)[:places, :places]
    energy = irfft2(square, size)[:places, :places] * float((middle * middle).sum())
    return float((sums / np.sqrt(np.maximum(energy, 1))).max())


@cache
def _box_spectrum(side: int) -> np.ndarray:
    return np.conj(rfft2(np.ones((side, side), np.float32), (SPECTRUM, SPECTRUM)))
