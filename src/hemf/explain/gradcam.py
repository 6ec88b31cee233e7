"""Grad-CAM++ and Grad-CAM: where in an image a layer holds what speaks for a class."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torchcam.methods import GradCAM, GradCAMpp

from hemf.errors import HemfError
from hemf.explain.layers import default_layer, find_layer, stage_layers
from hemf.explain.maps import as_maps, prefix_tokens, swapped

Method = Literal["gradcam++", "gradcam"]


def heat_maps(
    model: nn.Module,
    images: Tensor,
    targets: Sequence[int] | None = None,
    layer: str | None = None,
    method: Method = "gradcam++",
) -> np.ndarray:
    """Grad-CAM++ (Chattopadhay et al. 2018, arXiv:1710.11063) of a batch at one layer, or Grad-CAM.

    With A the layer's map and g the gradient of the class's logit S by it (so that the paper's Y is exp(S)),
    its equation 19 becomes, where g is above 0, alpha = 1 / (2 + (sum A) g); and the heat is
    relu(sum_k w_k A_k) with w_k = sum alpha relu(g). The paper's maps A are never negative. Those of
    networks without a last ReLU are, and could turn the sign of a weight; so the sum in alpha goes over the
    positive part of A, which changes nothing for the paper's networks. Grad-CAM (Selvaraju et al. 2017,
    arXiv:1610.02391) weighs each map by its mean gradient, of either sign.

    Args:
        model: a classifier; it runs in evaluation mode and in float32, and is left as it was.
        images: B x C x H x W, as the model takes them.
        targets: the class of each image; by default the one that the model predicts.
        layer: name of the layer, as in ``model.named_modules()``; by default ``default_layer(model)``.
        method: ``gradcam++`` or ``gradcam``.

    Returns:
        B x h x w float32 at the layer's resolution, each map divided by its maximum: from 0 to 1. A map
        without any evidence for the class is 0 everywhere.

    Raises:
        HemfError: no such layer, its output is no map of the image, or a class that is none.
    """
    return layer_heat_maps(model, images, targets, [layer or default_layer(model)], method)[0]


def stage_heat_maps(
    model: nn.Module,
    images: Tensor,
    targets: Sequence[int] | None = None,
    method: Method = "gradcam++",
) -> dict[str, list[np.ndarray]]:
    """The heat of a batch at every stage of every branch, from one pass.

    Args:
        model: as for ``heat_maps``.
        images: as for ``heat_maps``.
        targets: as for ``heat_maps``.
        method: as for ``heat_maps``.

    Returns:
        By branch (``local``, ``global`` and ``fusion`` for HEMF; ``stages`` for models of one branch) a list
        of B x h x w maps as of ``heat_maps``, from the first stage to the last.

    Raises:
        HemfError: as ``heat_maps``.
    """
    branches = stage_layers(model)
    names = [name for layers in branches.values() for name in layers]
    found = iter(layer_heat_maps(model, images, targets, names, method))
    return {branch: [next(found) for _ in layers] for branch, layers in branches.items()}


def layer_heat_maps(
    model: nn.Module,
    images: Tensor,
    targets: Sequence[int] | None,
    layers: Sequence[str],
    method: Method = "gradcam++",
) -> list[np.ndarray]:
    """The heat at several layers from one pass; arguments and errors are those of ``heat_maps``."""
    try:
        return _layer_heat_maps(model, images, targets, layers, method)
    except torch.OutOfMemoryError as error:
        raise HemfError(
            f"the heat maps of {len(images)} images do not fit into the device's memory; "
            "give a smaller --batch-size"
        ) from error


def _layer_heat_maps(
    model: nn.Module,
    images: Tensor,
    targets: Sequence[int] | None,
    layers: Sequence[str],
    method: Method,
) -> list[np.ndarray]:
    device = next(model.parameters()).device
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        images = images.detach().to(device, torch.float32).clone().requires_grad_()
        with (
            _evaluating(model),
            _tapped(model, layers, images) as tapped,
            CAMS[method](tapped, list(tapped.taps)) as cam,
        ):
            logits = tapped(images)
            if silent := [name for name, seen in zip(layers, cam.hook_a, strict=True) if seen is None]:
                raise HemfError(f"the model never runs its layer {silent[0]}; choose another --layer")
            if not torch.isfinite(logits).all():
                raise HemfError(
                    "the model's outputs are not finite: its weights or the images hold NaN; check both"
                )
            classes = logits.argmax(1).tolist() if targets is None else _checked(targets, logits)
            try:
                found = cam(classes, logits, normalized=False)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                raise HemfError(
                    f"the class does not depend on {' or '.join(layers)}; choose another --layer"
                ) from error
    return [_scaled(maps.detach()).cpu().numpy() for maps in found]


class _EquationNineteen(GradCAMpp):
    """torchcam's Grad-CAM++ with the paper's weights.

    As of torchcam 0.5.0 its own differ: ``alpha[mask].div_(...)`` divides a copy, so that alpha stays the
    squared gradient, and the denominator sums A g^3 over all places instead of A alone.
    """

    def _get_weights(self, class_idx: list[int], scores: Tensor, **kwargs: Any) -> list[Tensor]:
        self._backprop(scores, class_idx, **kwargs)
        weights = []
        for activation, gradient in zip(self.hook_a, self.hook_g, strict=True):
            slope = gradient.relu()
            total = activation.relu().sum((2, 3), keepdim=True)
            weights.append((slope / (2 + total * slope)).sum((2, 3)))
        return weights


CAMS = {"gradcam++": _EquationNineteen, "gradcam": GradCAM}


class _Tapped(nn.Module):
    """A model whose chosen layers' maps pass through ``taps`` as (B, C, h, w), whatever their own layout."""

    def __init__(self, model: nn.Module, taps: int) -> None:
        super().__init__()
        self.model = model
        self.taps = nn.ModuleList(nn.Identity() for _ in range(taps))

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


@contextmanager
def _tapped(model: nn.Module, layers: Sequence[str], images: Tensor) -> Iterator[_Tapped]:
    """The model with taps at ``layers``; afterwards it is as it was."""
    tapped, handles = _Tapped(model, len(layers)), []
    size, prefix = (images.shape[-2], images.shape[-1]), prefix_tokens(model)

    def tap(index: int, output: Any) -> Any:
        whole = (
            model.map_of(output, norm=False)
            if isinstance(output, tuple) and hasattr(model, "map_of")
            else output
        )
        found = as_maps(whole, len(images), size, prefix)
        if found is None:
            raise HemfError(
                f"layer {layers[index]!r} gives no map of the image ({_shapes(output)}); "
                f"choose another, such as {default_layer(model)}"
            )
        maps, restore = found
        changed = restore(tapped.taps[index](maps).clone())  # what follows may work in place
        return changed if whole is output else swapped(output, whole, changed)

    try:
        for index, name in enumerate(layers):
            module = find_layer(model, name)
            handles.append(
                module.register_forward_hook(lambda _module, _in, out, index=index: tap(index, out))
            )
        yield tapped
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards every module is in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _checked(targets: Sequence[int], logits: Tensor) -> list[int]:
    batch, classes = logits.shape
    targets = [int(target) for target in targets]
    if len(targets) != batch or not all(0 <= target < classes for target in targets):
        raise HemfError(
            f"targets {targets} are not {batch} classes from 0 to {classes - 1}; give one an image"
        )
    return targets


def _scaled(maps: Tensor) -> Tensor:
    """Each map divided by its maximum; a map of zeros stays one."""
    most = maps.amax((1, 2), keepdim=True)
    return torch.where(most > 0, maps / most, 0.0).float()


def _shapes(output: Any) -> str:
    parts = output if isinstance(output, tuple | list) else [output]
    return (
        ", ".join("x".join(map(str, part.shape)) for part in parts if isinstance(part, Tensor)) or "no tensor"
    )
