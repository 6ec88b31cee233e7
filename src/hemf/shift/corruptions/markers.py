"""What people and devices put into images: rulers, letters, black corners."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hemf.shift.corruptions.registry import corruption


def _ink(image: Image.Image, level: int) -> int | tuple[int, int, int]:
    return (level, level, level) if image.mode == "RGB" else level


@corruption("ruler", (0.03, 0.05, 0.08, 0.12, 0.18), "width along one side, as a share of the shorter side")
def ruled(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Lay a white ruler with black ticks along a side."""
    quarter = int(rng.integers(4))
    image = image.rotate(90 * quarter, expand=True)
    width = max(2, round(amount * min(image.size)))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, image.height - width, image.width, image.height), fill=_ink(image, 235))
    step = max(2, image.width // 50)
    for i, x in enumerate(range(0, image.width, step)):
        length = width * (0.7 if i % 5 == 0 else 0.4)
        draw.line((x, image.height - width, x, image.height - width + length), fill=_ink(image, 20))
    return image.rotate(-90 * quarter, expand=True)


@corruption("letters", (0.04, 0.06, 0.1, 0.15, 0.25), "height, as a share of the shorter side")
def lettered(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Write two letters into a corner, as of a side marker."""
    image = image.copy()
    size = max(6, round(amount * min(image.size)))
    right, low = rng.integers(2, size=2)
    place = (image.width - 2 * size if right else size // 4, image.height - 1.5 * size if low else size // 4)
    font = ImageFont.load_default(size=size)
    ImageDraw.Draw(image).text(place, "LR"[int(rng.integers(2))] + "7", fill=_ink(image, 255), font=font)
    return image


@corruption(
    "black corners", (0.47, 0.44, 0.4, 0.36, 0.3), "radius of what is left, as a share of the diagonal"
)
def vignetted(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Leave a disc and make the rest black, as a dermatoscope or an endoscope does."""
    across, down = (np.arange(side) - (side - 1) / 2 for side in image.size)
    outside = np.hypot(down[:, None], across) > amount * np.hypot(*image.size)
    values = np.array(image)
    values[outside] = 0
    return Image.fromarray(values)
