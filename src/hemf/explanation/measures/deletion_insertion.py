"""Deletion and insertion: does the class go with the hottest pixels, and come back with them?"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from hemf.core.precision import float32_logits
from hemf.tasks import MULTICLASS, Task

STEPS = 16
"""Equal portions in which the pixels are taken away or brought back."""
BLUR = 1 / 16
"""Standard deviation of the blur that insertion begins with, as a share of the image's shorter side."""


def deletion_insertion(
    model: nn.Module,
    image: Tensor,
    target: int,
    heats: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    task: Task = MULTICLASS,
) -> dict[str, dict[str, float]]:
    """Compute the areas under the deletion and the insertion curve (Petsiuk et al. 2018, arXiv:1806.07421).

    Deletion replaces pixels by the mean colour (0 of the normalised image), the hottest first; insertion
    brings them into a blurred image in the same order. A curve is the target's probability over the share of
    pixels changed, its area by the trapezium rule: low is good for deletion, high for insertion.

    Args:
        model: model in evaluation mode.
        image: C x H x W, normalised.
        target: the class whose probability is followed.
        heats: by name, maps of any resolution; each is interpolated to H x W, equal pixels are put in random
            order.
        rng: random numbers for that order.
        task: what the model is asked about an image.

    Returns:
        ``deletion`` and ``insertion``, each with an area from 0 to 1 for every name.
    """
    areas: dict[str, dict[str, float]] = {"deletion": {}, "insertion": {}}
    grey, blurred = torch.zeros_like(image), blur(image)
    for name, heat in heats.items():
        place_in_order = pixel_order(enlarged(heat, (image.shape[1], image.shape[2])), rng)
        for curve, before, after in (("deletion", image, grey), ("insertion", blurred, image)):
            probabilities = curve_of(model, before, after, place_in_order, target, task)
            areas[curve][name] = float(np.trapezoid(probabilities, dx=1 / STEPS))
    return areas


def curve_of(
    model: nn.Module, before: Tensor, after: Tensor, order: Tensor, target: int, task: Task
) -> np.ndarray:
    """Follow the target's probability as pixels go from ``before`` to ``after`` (C x H x W) by ``order``.

    Returns:
        STEPS + 1 probabilities, the first of ``before`` and the last of ``after``.
    """
    changed = (torch.arange(STEPS + 1) * order.numel() / STEPS).round()
    on_the_way = torch.where(order[None] < changed[:, None, None], 1.0, 0.0)[:, None].bool()
    device = next(model.parameters()).device
    with torch.inference_mode():
        images = torch.where(on_the_way, after, before).contiguous(memory_format=torch.channels_last)
        return task.probabilities(float32_logits(model, images.to(device)))[:, target].cpu().numpy()


def pixel_order(heat: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Rank the pixels from hottest to coldest, H x W from 0, with equal ones in random order."""
    shuffled = rng.permutation(heat.size)
    hottest_first = shuffled[np.argsort(-heat.ravel()[shuffled], kind="stable")]
    places = np.empty(heat.size, np.int64)
    places[hottest_first] = np.arange(heat.size)
    return torch.from_numpy(places.reshape(heat.shape))


def enlarged(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate a map (h x w) or several (B x h x w) linearly to height and width ``size``."""
    maps = torch.from_numpy(np.ascontiguousarray(heat, np.float32)).reshape(-1, 1, *heat.shape[-2:])
    found = nn.functional.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
    return found.reshape(*heat.shape[:-2], *size).numpy()


def blur(image: Tensor) -> Tensor:
    """Blur the image (C x H x W) until only its large shapes are left."""
    sigma = BLUR * min(image.shape[1:])
    side = min(2 * round(3 * sigma) + 1, 2 * (min(image.shape[1:]) // 2) - 1)
    return gaussian_blur(image, [side, side], [sigma, sigma])
