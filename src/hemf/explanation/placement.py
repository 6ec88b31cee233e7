"""Where on the original image the model's input lies, and a heat map put there."""

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from hemf.data.image.strips import central_part
from hemf.data.image.wide import bands
from hemf.data.preprocessing import InputSpec, centred

Box = tuple[float, float, float, float]


def seen_box(spec: InputSpec, size: tuple[int, int]) -> Box:
    """Return the part of an image that the model sees after resizing and the central crop.

    Args:
        spec: the model's input.
        size: the image's width and height in pixels.

    Returns:
        Left, top, right and bottom edge in pixels of the image, with fractions; beyond the image's edges
        where the model sees padding.
    """
    resize, _ = centred(spec)
    resized = resize(Image.new("L", size)).size
    left, top, right, bottom = central_part(size) if spec.crop_mode == "center" else (0, 0, *size)
    box, crops = [], (spec.input_size[2], spec.input_size[1])
    for start, end, side, crop in zip((left, top), (right, bottom), resized, crops, strict=True):
        before = round((side - crop) / 2) if side >= crop else -((crop - side) // 2)
        scale = (end - start) / side
        box.append((start + before * scale, start + (before + crop) * scale))
    (left, right), (top, bottom) = box
    return left, top, right, bottom


def place(heat: np.ndarray, spec: InputSpec, size: tuple[int, int]) -> np.ndarray:
    """Lay a heat map of the model's input on the original image: resizing and central crop undone.

    Args:
        heat: h x w, of any resolution.
        spec: the model's input.
        size: the image's width and height in pixels.

    Returns:
        height x width float32, interpolated linearly; 0 where the model has not looked.
    """
    left, top, right, bottom = seen_box(spec, size)
    across = _relative(size[0], left, right)
    down = _relative(size[1], top, bottom)
    source = torch.from_numpy(np.ascontiguousarray(heat, np.float32))[None, None]
    whole = np.empty((size[1], size[0]), np.float32)
    for rows in bands(*whole.shape):
        grid = torch.stack(torch.meshgrid(across, down[rows], indexing="xy"), dim=-1)
        placed = F.grid_sample(source, grid[None], padding_mode="border", align_corners=False)[0, 0]
        whole[rows] = torch.where((grid.abs() <= 1).all(-1), placed, 0.0).numpy()
    return whole


def _relative(count: int, first: float, last: float) -> torch.Tensor:
    """Return the centres of ``count`` pixels, on a scale on which the edges of the crop are -1 and 1."""
    centres = torch.arange(count, dtype=torch.float64) + 0.5
    return (2 * (centres - first) / (last - first) - 1).float()
