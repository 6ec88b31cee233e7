"""Grad-CAM++ and Grad-CAM: where in an image a layer holds what speaks for a class."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torchcam.methods import GradCAM, GradCAMpp

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.explanation.layers import chosen_layer, default_layer, find_layer, stage_layers
from hemf.explanation.taps import classes_of, differentiable, tapped

Method = Literal["gradcam++", "gradcam"]


def heat_maps(
    model: nn.Module,
    images: Tensor,
    targets: Sequence[int] | None = None,
    layer: str | None = None,
    method: Method = "gradcam++",
) -> np.ndarray:
    """Compute Grad-CAM++ (Chattopadhay et al. 2018, arXiv:1710.11063) of a batch at one layer, or Grad-CAM.

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
        layer: name of the layer, as in ``model.named_modules()``; by default ``default_layer``.
        method: ``gradcam++`` or ``gradcam``.

    Returns:
        B x h x w float32 at the layer's resolution, each map divided by its maximum: from 0 to 1. A map
        without any evidence for the class is 0 everywhere.

    Raises:
        HemfError: no such layer, its output is no map of the image, the class does not depend on it, or a
            class that is none.
    """
    with _fitting(images):
        layer = chosen_layer(model, images, targets, layer)
    return layer_heat_maps(model, images, targets, [layer], method)[0]


def stage_heat_maps(
    model: nn.Module,
    images: Tensor,
    targets: Sequence[int] | None = None,
    method: Method = "gradcam++",
) -> dict[str, list[np.ndarray]]:
    """Return the heat of a batch at every stage of every branch, from one pass.

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
    with _fitting(images):
        branches = stage_layers(model, images, targets)
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
    """Return the heat at several layers from one pass; arguments and errors are those of ``heat_maps``."""
    try:
        with _fitting(images), differentiable(model, images) as inputs:
            found = _layer_heat_maps(model, inputs, targets, layers, method)
    except _NoMapError as error:
        better = default_layer(model, images, targets)
        raise HemfError(f"{error}; choose another, such as {better}") from None
    return [_scaled(maps.detach()).cpu().numpy() for maps in found]


class _NoMapError(Exception):
    """A layer's output is no map of the image."""


@contextmanager
def _fitting(images: Tensor) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise HemfError(
            f"the heat maps of {counted(len(images), 'image')} do not fit into the device's memory; "
            "give a smaller --batch-size"
        ) from error


def _layer_heat_maps(
    model: nn.Module, inputs: Tensor, targets: Sequence[int] | None, layers: Sequence[str], method: Method
) -> list[Tensor]:
    watched = _Watched(model, len(layers))

    def no_map(index: int, output: Any) -> None:
        raise _NoMapError(f"layer {layers[index]!r} gives no map of the image ({_shapes(output)})")

    modules = [find_layer(model, name) for name in layers]
    with (
        tapped(model, modules, inputs, lambda index, maps: watched.taps[index](maps), no_map),
        CAMS[method](watched, list(watched.taps)) as cam,
    ):
        logits = watched(inputs)
        if silent := [name for name, seen in zip(layers, cam.hook_a, strict=True) if seen is None]:
            raise HemfError(f"the model never runs its layer {silent[0]}; choose another --layer")
        if not torch.isfinite(logits).all():
            raise HemfError(
                "the model's outputs are not finite: its weights or the images hold NaN; check both"
            )
        try:
            return cam(classes_of(targets, logits), logits, normalized=False)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise HemfError(
                f"the class does not depend on {' or '.join(layers)}; choose another --layer"
            ) from error


class _EquationNineteen(GradCAMpp):
    """torchcam's Grad-CAM++ with the paper's weights.

    As of torchcam 0.5.0 its own differ: ``alpha[mask].div_(...)`` divides a copy, so that alpha stays the
    squared gradient, and the denominator sums A g^3 over all places instead of A alone.
    """

    def _get_weights(
        self, class_idx: int | list[int], scores: Tensor, eps: float = 1e-8, **kwargs: Any
    ) -> list[Tensor]:
        self._backprop(scores, class_idx, **kwargs)
        weights = []
        for activation, gradient in zip(self.hook_a, self.hook_g, strict=True):
            slope = gradient.relu()
            total = activation.relu().sum((2, 3), keepdim=True)
            weights.append((slope / (2 + total * slope)).sum((2, 3)))
        return weights


CAMS = {"gradcam++": _EquationNineteen, "gradcam": GradCAM}


class _Watched(nn.Module):
    """A model with taps, through which the maps of chosen layers pass, and at which torchcam hooks."""

    def __init__(self, model: nn.Module, taps: int) -> None:
        super().__init__()
        self.model = model
        self.taps = nn.ModuleList(nn.Identity() for _ in range(taps))

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


def _scaled(maps: Tensor) -> Tensor:
    """Return each map divided by its maximum; a map of zeros stays one."""
    most = maps.amax((1, 2), keepdim=True)
    return torch.where(most > 0, maps / most, 0.0).float()


def _shapes(output: Any) -> str:
    parts = output if isinstance(output, tuple | list) else [output]
    return (
        ", ".join("x".join(map(str, part.shape)) for part in parts if isinstance(part, Tensor)) or "no tensor"
    )
