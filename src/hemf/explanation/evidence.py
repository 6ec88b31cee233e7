"""Finds out whether a class depends on the places that a layer still tells apart."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hemf.explanation.taps import classes_of, differentiable, tapped

_NUMBERED = re.compile(r"(^|\.)\d+$")


@dataclass(frozen=True)
class Evidence:
    """What one pass says of a layer's maps.

    Args:
        grid: their height and width.
        found: whether there is any place at which they are not zero and the class's logit changes with them.
            Behind the last layer that mixes places into a class token there is none.
    """

    grid: tuple[int, int]
    found: bool


def evidence_at(
    model: nn.Module, images: Tensor, targets: Sequence[int] | None, layers: Iterable[str]
) -> dict[str, Evidence]:
    """Run the model once and back, and look at the gradients of the class's logit by the maps of layers.

    Args:
        model: a classifier; it runs in evaluation mode and in float32, and is left as it was.
        images: B x C x H x W, as the model takes them.
        targets: the class of each image; by default the one that the model predicts.
        layers: names as in ``model.named_modules()``.

    Returns:
        By name, in the order in which the layers end, those that run and give a map of the image.

    Raises:
        HemfError: there is no such class.
    """
    modules, names, maps = dict(model.named_modules()), list(layers), {}

    def through(index: int, found: Tensor) -> Tensor:
        maps.pop(names[index], None)  # of a layer that runs twice the second time counts, as its place
        maps[names[index]] = found.clone()
        return maps[names[index]]

    with (
        differentiable(model, images) as inputs,
        tapped(model, [modules[name] for name in names], inputs, through),
    ):
        logits = model(inputs)
        total = logits.gather(
            1, logits.new_tensor(classes_of(targets, logits), dtype=torch.long)[:, None]
        ).sum()
        gradients = torch.autograd.grad(total, list(maps.values()), allow_unused=True) if maps else []
    return {
        name: Evidence(tuple(found.shape[2:]), gradient is not None and bool((gradient * found).any()))
        for (name, found), gradient in zip(maps.items(), gradients, strict=True)
    }


def trunk(model: nn.Module) -> list[str]:
    """Layers between which a network is usually cut: parts of the model, members of lists, and norms."""
    return [
        name
        for name, module in model.named_modules()
        if name and ("." not in name or _NUMBERED.search(name) or "norm" in type(module).__name__.lower())
    ]
