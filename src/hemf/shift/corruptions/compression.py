"""Images that were compressed with loss."""

import io

import numpy as np
from PIL import Image

from hemf.shift.corruptions.registry import corruption


@corruption("jpeg", (70, 50, 30, 15, 6), "quality of JPEG, 1 to 95")
def compressed(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Write as JPEG and read again, as archives and messengers do."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=round(amount))
    return Image.open(content).convert(image.mode)
