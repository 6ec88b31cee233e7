"""Corruptions by name: a new one is one function with one registration, in five steps of strength.

The list follows MedMNIST-C (Di Salvo, Doerrich, Ledig 2024), in amounts that are shares of an image's own
size or range, so that they mean the same for images of any size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hemf.core.registry import Registry

STEPS = 5

Change = Callable[[Image.Image, float, np.random.Generator], Image.Image]
"""From an image in RGB or grey, an amount and random numbers to an image of the same mode."""


@dataclass(frozen=True)
class Corruption:
    """Something that happens to images.

    Args:
        change: does it.
        amounts: how much in each of the five steps, from what is hardly seen to what spoils an image.
        unit: what an amount is, in words.
    """

    change: Change
    amounts: tuple[float, ...]
    unit: str

    def apply(self, image: Image.Image, step: int, seed: Sequence[int]) -> Image.Image:
        """Return an image with it.

        Args:
            image: in RGB or grey.
            step: from 1 to 5; 0 leaves the image as it is.
            seed: of its random numbers.
        """
        if step == 0:
            return image
        return self.change(image, self.amounts[step - 1], np.random.default_rng(list(seed)))


CORRUPTIONS: Registry[Corruption] = Registry("corruption")


def corruption(name: str, amounts: Sequence[float], unit: str) -> Callable[[Change], Change]:
    """Register a function as a corruption.

    Args:
        name: what it is called.
        amounts: five.
        unit: see ``Corruption``.
    """

    def keep(change: Change) -> Change:
        CORRUPTIONS.register(name)(Corruption(change, tuple(amounts), unit))
        return change

    return keep


def from_values(values: np.ndarray) -> Image.Image:
    """Return the image of values from 0 to 255, clipped and rounded."""
    return Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8))
