"""Images that are too dark, too bright or too flat."""

import numpy as np
from PIL import Image

from hemf.shift.corruptions.registry import corruption, from_values


@corruption("dark", (0.9, 0.75, 0.6, 0.4, 0.2), "factor of every value")
def darkened(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Multiply every value, as of too short an exposure."""
    return from_values(np.asarray(image, np.float32) * amount)


@corruption("bright", (1.1, 1.25, 1.5, 2.0, 3.0), "factor of every value, cut at white")
def brightened(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Multiply every value and cut at white, as of too long an exposure."""
    return from_values(np.asarray(image, np.float32) * amount)


@corruption("contrast", (0.85, 0.7, 0.5, 0.3, 0.15), "factor of the distance from the image's mean")
def flattened(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Bring every value nearer to the image's mean, as of stray light or a wide window."""
    values = np.asarray(image, np.float32)
    mean = values.mean()
    return from_values(mean + amount * (values - mean))


@corruption("gamma", (1.15, 1.35, 1.7, 2.2, 3.0), "exponent of values from 0 to 1")
def bent(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Raise values to a power, as of another display curve."""
    return from_values(255 * (np.asarray(image, np.float32) / 255) ** amount)
