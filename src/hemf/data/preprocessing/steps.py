"""What validation, test and prediction do to a read image: resize, cut out the centre, standardise.

All with PIL and NumPy, pixel for pixel what timm's and torchvision's transforms make of PIL images.
"""

import math

import numpy as np
from PIL import Image

from hemf.data.image.strips import central_part, is_strip, shrink
from hemf.data.preprocessing.spec import InputSpec

LEVEL = 1 / 255  # of a pixel's value, on a scale of 0 to 1


def centred(spec: InputSpec) -> "tuple[Resize, Crop]":
    """Return two steps on PIL images: resize, then cut out or pad around the centre."""
    return Resize(spec), Crop(spec)


def pixels_of(image: Image.Image, spec: InputSpec) -> np.ndarray:
    """Return what a network sees of an image in ``spec.image_mode``: uint8, height x width x channels."""
    for step in centred(spec):
        image = step(image)
    array = np.array(image)
    return array.reshape(*array.shape[:2], -1)


def standardised(pixels: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Return pixels as floats: each channel less its mean, in units of its standard deviation.

    Args:
        pixels: uint8, N x height x width x channels.
        spec: the input.

    Returns:
        float32, N x channels x height x width; bit for bit what ``Normalise`` gives.
    """
    values = pixels.astype(np.float32)
    values *= np.float32(LEVEL)
    values -= np.array(spec.mean, np.float32)
    values /= np.array(spec.std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


class Resize:
    """Validation's resize, which of a strip takes no more memory than the strip itself.

    Where the centre is cut out anyway, a strip loses its ends first.

    Args:
        spec: the input.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec, self.resample = spec, Image.Resampling[spec.interpolation.upper()]
        self.target = [math.floor(side / spec.crop_pct) for side in spec.input_size[1:]]

    def __call__(self, image: Image.Image) -> Image.Image:
        if is_strip(image.size):
            if self.spec.crop_mode != "center":
                return shrink(image, self.size(image), self.resample)
            image = image.crop(central_part(image.size))
        size = self.size(image)
        return image if size == image.size else image.resize(size, self.resample)

    def size(self, image: Image.Image) -> tuple[int, int]:
        """Return width and height that an image gets."""
        height, width = self.target
        if self.spec.crop_mode == "squash":
            return width, height
        if self.spec.crop_mode == "center" and self.spec.input_size[1] == self.spec.input_size[2]:
            short, long = sorted(image.size)
            sides = height, int(height * long / short)  # torchvision cuts off where timm rounds
            return sides if image.width <= image.height else (sides[1], sides[0])
        ratios = image.width / width, image.height / height
        ratio = max(ratios) if self.spec.crop_mode == "border" else min(ratios)
        return max(1, round(image.width / ratio)), max(1, round(image.height / ratio))


class Crop:
    """Cut out the centre; where the image is smaller, pad it with the mean (``border``) or black.

    Args:
        spec: the input.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.height, self.width = spec.input_size[1:]
        fill = spec.fill if spec.crop_mode == "border" else [0] * spec.input_size[0]
        self.fill = fill[0] if len(fill) == 1 else tuple(fill)

    def __call__(self, image: Image.Image) -> Image.Image:
        left, top = _start(image.width, self.width), _start(image.height, self.height)
        if image.width >= self.width and image.height >= self.height:
            return image.crop((left, top, left + self.width, top + self.height))
        whole = Image.new(image.mode, (self.width, self.height), self.fill)
        whole.paste(image, (-left, -top))
        return whole


def _start(side: int, wanted: int) -> int:
    """Return where the central part begins, 0 or below where there is less than is wanted."""
    return round((side - wanted) / 2) if side >= wanted else -((wanted - side) // 2)
