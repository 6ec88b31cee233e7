"""Taps the maps that layers of a running model give, and hands them on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.explanation.feature_maps import as_maps, prefix_tokens, swapped


@contextmanager
def differentiable(model: nn.Module, images: Tensor) -> Iterator[Tensor]:
    """Yield the images as float32 with gradients, and hold the model in evaluation mode.

    Afterwards every module is in the mode it was in; autocast and inference mode around it do not reach in.
    """
    device = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
            yield images.detach().to(device, torch.float32).clone().requires_grad_()
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def tapped(
    model: nn.Module,
    layers: Sequence[nn.Module],
    images: Tensor,
    through: Callable[[int, Tensor], Tensor],
    otherwise: Callable[[int, Any], None] = lambda _index, _output: None,
) -> Iterator[None]:
    """Pass the maps of some layers through a function while the model runs; afterwards it is as it was.

    Args:
        model: whose layers these are.
        layers: layers of which the maps are taken; one may stand here several times.
        images: what the model will be given.
        through: takes the number of the layer and its maps (B, C, h, w), whatever the layer's own layout,
            and returns what the model goes on with.
        otherwise: takes the number of a layer that gives no map, and what it gives.
    """
    map_of: Callable[..., Tensor] | None = getattr(model, "map_of", None)
    size, prefix = (images.shape[-2], images.shape[-1]), prefix_tokens(model)

    def tap(index: int, output: Any) -> Any:
        whole = map_of(output, norm=False) if map_of and isinstance(output, tuple) else output
        found = as_maps(whole, len(images), size, prefix)
        if found is None:
            return otherwise(index, output)
        maps, restore = found
        changed = restore(through(index, maps).clone())  # what follows may work in place
        return changed if whole is output else swapped(output, whole, changed)

    handles = [
        layer.register_forward_hook(lambda _module, _in, out, index=index: tap(index, out))
        for index, layer in enumerate(layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def classes_of(targets: Sequence[int] | None, logits: Tensor) -> list[int]:
    """Return the class of each image: the targets, or by default what the model predicts.

    Raises:
        HemfError: not one class an image, or one that the model does not have.
    """
    batch, classes = logits.shape
    if targets is None:
        return logits.argmax(1).tolist()
    targets = [int(target) for target in targets]
    if len(targets) != batch or not all(0 <= target < classes for target in targets):
        raise HemfError(
            f"targets {targets} are not {counted(batch, 'class', 'classes')} from 0 to {classes - 1}; give "
            "one an image"
        )
    return targets
