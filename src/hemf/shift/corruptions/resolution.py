"""Images of fewer pixels."""

import numpy as np
from PIL import Image

from hemf.shift.corruptions.registry import corruption


@corruption("resolution", (192, 128, 96, 64, 32), "pixels of the shorter side that are left")
def coarsened(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Make smaller and as large as before; what has no more pixels than that stays as it is."""
    ratio = amount / min(image.size)
    if ratio >= 1:
        return image
    small = image.resize([max(1, round(ratio * side)) for side in image.size], Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.BILINEAR)
