"""A layer's output as maps (B, C, h, w), whatever its layout, and back."""

from collections.abc import Callable, Iterator
from math import gcd, isqrt
from typing import Any

import torch
from torch import Tensor, nn

MOST_PREFIX_TOKENS = 8
"""Class and register tokens that may stand before an image's patches."""

Restore = Callable[[Tensor], Any]
Size = tuple[int, int]


def as_maps(output: Any, batch: int, size: Size, prefix: int | None = None) -> tuple[Tensor, Restore] | None:
    """Return the maps in what a layer gave, and a function that puts changed maps back in their place.

    Known layouts are (B, C, h, w), (B, h, w, C), and tokens (B, N, C) in row-major order, possibly after some
    that stand for no place. Which of them it is shows in h and w: they are the image's sides divided by one
    stride, or, of tokens, in the image's proportion. Of several tensors the first that is a map is taken.

    Args:
        output: output of the layer.
        batch: B.
        size: height and width of the images.
        prefix: number of tokens that stand for no place; None: unknown.

    Returns:
        Maps (B, C, h, w) and the function, or None where there is no map.
    """
    if type(output) in (tuple, list):
        for part in output:
            if (found := as_maps(part, batch, size, prefix)) is not None:
                return found[0], lambda maps, part=part, back=found[1]: swapped(output, part, back(maps))
        return None
    if not isinstance(output, Tensor) or not output.is_floating_point() or len(output) != batch:
        return None
    if output.ndim == 4:
        return _of_four(output, size)
    return _of_tokens(output, size, prefix) if output.ndim == 3 else None


def prefix_tokens(model: nn.Module) -> int | None:
    """Return how many tokens a model puts before the image's, where it says so."""
    number = getattr(model, "num_prefix_tokens", None)
    return number if isinstance(number, int) else None


def _of_four(output: Tensor, size: Size) -> tuple[Tensor, Restore] | None:
    """Tell channels first from last by which sides are more like the image's; first if both are."""
    first, last = tuple(output.shape[2:]), tuple(output.shape[1:3])
    fitting = [sides for sides in (first, last) if sides in _grids(size)]
    if not fitting:
        return None
    if min(fitting, key=lambda sides: abs(sides[0] * size[1] / (sides[1] * size[0]) - 1)) == first:
        return output, lambda maps: maps
    return output.permute(0, 3, 1, 2), lambda maps: maps.permute(0, 2, 3, 1)


def _of_tokens(output: Tensor, size: Size, prefix: int | None) -> tuple[Tensor, Restore] | None:
    counts = range(MOST_PREFIX_TOKENS + 1) if prefix is None else (prefix, 0)
    by_stride = {height * width: (height, width) for height, width in _grids(size)}
    options = (
        by_stride,
        _alike(size, output.shape[1]),
    )  # of an input resized by the network
    found = ((count, grids) for grids in options for count in counts if output.shape[1] - count in grids)
    before, grids = next(found, (0, {}))
    if not grids:
        return None
    grid = grids[output.shape[1] - before]
    maps = output[:, before:].transpose(1, 2).unflatten(2, grid)

    def restore(changed: Tensor) -> Tensor:
        return torch.cat([output[:, :before], changed.flatten(2).transpose(1, 2)], dim=1)

    return maps, restore


def _grids(size: Size) -> set[Size]:
    """List all (h, w) into which one stride, rounded up or down, can divide the image's height and width."""
    return set(_strided(size))


def _alike(size: Size, most: int) -> dict[int, Size]:
    """List grids of at most so many cells in exactly the image's proportion, by their cells."""
    shared = gcd(*size)
    height, width = size[0] // shared, size[1] // shared
    times = range(1, isqrt(most // (height * width)) + 1)
    return {n * n * height * width: (n * height, n * width) for n in times}


def _strided(size: Size) -> Iterator[Size]:
    for stride in range(1, max(size) + 1):
        yield -(-size[0] // stride), -(-size[1] // stride)
        if min(size) >= stride:
            yield size[0] // stride, size[1] // stride


def swapped(parts: tuple | list, old: Any, new: Any) -> tuple | list:
    """Put ``new`` wherever ``old`` stood: a network of one branch hands its map on twice."""
    return type(parts)(new if part is old else part for part in parts)
