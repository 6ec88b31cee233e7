"""Images that are turned, or show less or more than those of training."""

import numpy as np
from PIL import Image, ImageOps

from hemf.shift.corruptions.registry import corruption


@corruption("rotation", (5, 10, 20, 45, 90), "degrees, to either side")
def rotated(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Turn about the centre; what comes into view is mirrored from the border."""
    side = -1 if rng.random() < 0.5 else 1
    margin = tuple(round(0.5 * length) for length in image.size)
    values = np.asarray(image)
    pads = [(margin[1], margin[1]), (margin[0], margin[0])] + [(0, 0)] * (values.ndim - 2)
    wide = Image.fromarray(np.pad(values, pads, mode="symmetric"))
    turned = wide.rotate(side * amount, Image.Resampling.BILINEAR)
    left, top = margin
    return turned.crop((left, top, left + image.width, top + image.height))


@corruption("crop", (0.05, 0.1, 0.2, 0.3, 0.45), "share of each side that is cut off, somewhere")
def cropped(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Show a part, as from nearer by or off the centre."""
    width, height = (max(1, round((1 - amount) * side)) for side in image.size)
    left, top = (
        int(rng.integers(0, whole - part + 1))
        for whole, part in zip(image.size, (width, height), strict=True)
    )
    return image.crop((left, top, left + width, top + height))


@corruption("border", (0.05, 0.1, 0.2, 0.35, 0.6), "width of a black border, as a share of each side")
def bordered(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Put a black border around, as of a screenshot or a scan, which makes what is shown smaller."""
    across, down = (round(amount * side / 2) for side in image.size)
    return ImageOps.expand(image, (across, down, across, down), fill=0)
