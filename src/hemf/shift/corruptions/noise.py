"""Noise of sensors and of transmission."""

import numpy as np
from PIL import Image

from hemf.shift.corruptions.registry import corruption, from_values


@corruption("noise", (0.02, 0.04, 0.08, 0.15, 0.3), "standard deviation, as a share of the full range")
def noisy(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Add Gaussian noise, as of a sensor in little light or at a low dose."""
    values = np.asarray(image, np.float32)
    return from_values(values + 255 * amount * rng.standard_normal(values.shape, np.float32))


@corruption("speckle", (0.05, 0.1, 0.2, 0.35, 0.6), "standard deviation, as a share of each value")
def speckled(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Multiply by Gaussian noise, as of ultrasound."""
    values = np.asarray(image, np.float32)
    return from_values(values * (1 + amount * rng.standard_normal(values.shape, np.float32)))


@corruption("dead pixels", (0.002, 0.005, 0.01, 0.03, 0.08), "share of the pixels")
def impulses(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Set pixels to black or white, as of dead sensor elements or faults of transmission."""
    values = np.array(image)
    drawn = rng.random(values.shape[:2])
    values[drawn < amount / 2], values[drawn > 1 - amount / 2] = 0, 255
    return Image.fromarray(values)
