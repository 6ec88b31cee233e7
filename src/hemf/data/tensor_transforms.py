"""Transforms of images as uint8 tensors: fast random crops and flips, and the step to floating point.

Pixels stay uint8, in channels-last memory, until the batch is on the model's device: they are copied, sent
between processes and to a GPU at a quarter of the size.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

LEVEL = 1 / 255  # of a pixel's value, on a scale of 0 to 1


def as_pixels(image: Image.Image) -> Tensor:
    """Convert an image of mode RGB or L to uint8 C x H x W, in channels-last memory."""
    array = np.array(image)
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


class RandomCrop:
    """torchvision's ``RandomResizedCrop`` with the same random numbers, on pixels in channels-last memory.

    The crop is copied before it is resized, because on a view torch's kernel takes twice as long.

    Args:
        size: height and width of the result.
        scale: least and greatest share of the image's area.
        ratio: least and greatest aspect ratio.
        interpolation: how pixels are resampled.
    """

    def __init__(
        self,
        size: Sequence[int],
        scale: tuple[float, float],
        ratio: tuple[float, float],
        interpolation: InterpolationMode,
    ) -> None:
        self.size, self.interpolation = list(size), interpolation
        self.draw = v2.RandomResizedCrop(self.size, scale, ratio)

    def __call__(self, pixels: Tensor) -> Tensor:
        box = self.draw.make_params([pixels])
        top, left = box["top"], box["left"]
        crop = pixels[:, top : top + box["height"], left : left + box["width"]]
        crop = crop.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        return F.resize(crop, self.size, self.interpolation, antialias=True)


class RandomFlip:
    """Turn an image over with a probability.

    Args:
        probability: probability of turning it.
        axis: -1 turns left to right, -2 upside down.
    """

    def __init__(self, probability: float, axis: int) -> None:
        self.probability, self.axis = probability, axis

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels.flip(self.axis) if torch.rand(1) < self.probability else pixels


class Normalise:
    """Pixels as floats: each channel less its mean, in units of its standard deviation.

    The result is torchvision's ``ToDtype(scale=True)`` and ``Normalize`` bit for bit, on any device. Image
    by image, because one image fits into a core's cache and a batch does not.

    Args:
        mean: mean of each channel, on a scale of 0 to 1.
        std: standard deviation of each channel, on a scale of 0 to 1.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 of the shape of ``images``, uint8 (B x) C x H x W, in channels-last memory."""
        if images.ndim == 3:
            return self(images[None])[0]
        pixels = images.permute(0, 2, 3, 1)
        count, height, width, channels = pixels.shape
        values = torch.empty(count, height, width * channels, device=images.device)
        mean, std = (part.to(images.device).repeat(width) for part in (self.mean, self.std))
        if images.device.type == "cpu":
            for rows, image in zip(values, pixels, strict=True):
                rows.copy_(image.reshape(height, -1)).mul_(LEVEL).sub_(mean).div_(std)
        else:
            values.copy_(pixels.reshape(count, height, -1)).mul_(LEVEL).sub_(mean).div_(std)
        return values.view(pixels.shape).permute(0, 3, 1, 2)
