"""Images out of focus, or of something that moved."""

import numpy as np
from PIL import Image, ImageFilter

from hemf.shift.corruptions.registry import corruption, from_values


@corruption("blur", (0.002, 0.005, 0.01, 0.02, 0.04), "radius, as a share of the shorter side")
def blurred(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Blur with a Gaussian, as out of focus."""
    return image.filter(ImageFilter.GaussianBlur(amount * min(image.size)))


@corruption("motion", (0.01, 0.02, 0.04, 0.08, 0.15), "length, as a share of the shorter side")
def moved(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Blur along a line of random direction, as when hand or patient moves."""
    values, angle = np.asarray(image, np.float32), rng.uniform(0, np.pi)
    height, width = values.shape[:2]
    length = amount * min(image.size)
    margin = int(length / 2) + 1
    pads = [(margin, margin), (margin, margin)] + [(0, 0)] * (values.ndim - 2)
    wide, total = np.pad(values, pads, mode="edge"), np.zeros_like(values)
    places = np.linspace(-length / 2, length / 2, max(2, min(round(length) + 1, 31)))
    for place in places:
        down, across = round(place * np.sin(angle)) + margin, round(place * np.cos(angle)) + margin
        total += wide[down : down + height, across : across + width]
    return from_values(total / len(places))
