"""Images under another light, or of another colour setting. Grey images stay as they are."""

import numpy as np
from PIL import Image, ImageEnhance

from hemf.shift.corruptions.registry import corruption, from_values


@corruption(
    "colour cast", (0.05, 0.1, 0.2, 0.35, 0.6), "change of red and blue against each other, as a share"
)
def cast(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Make red stronger and blue weaker or the other way, as of another light or white balance."""
    if image.mode != "RGB":
        return image
    change = amount if rng.random() < 0.5 else -amount
    factors = np.array([1 + change / 2, 1, 1 - change / 2], np.float32)
    return from_values(np.asarray(image, np.float32) * factors)


@corruption("saturation", (0.8, 0.6, 0.4, 0.2, 0.0), "factor of the colours, 0 for grey")
def faded(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Take colour away."""
    return ImageEnhance.Color(image).enhance(amount) if image.mode == "RGB" else image
