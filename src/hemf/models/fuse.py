"""The inference form of a model: what never changes after training is multiplied out beforehand."""

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .blocks.manhattan import ManhattanSelfAttention
from .blocks.mlp import IRMLP
from .hemf import HEMF
from .pervit import PerViT

TOLERANCE = 1e-5

Layer = nn.Conv2d | nn.Linear


def fuse(model: nn.Module) -> nn.Module:
    """Copy ``model`` for inference alone, in fewer steps, with outputs equal to 1e-5 of the largest.

    Every BatchNorm that reads a convolution's or a Linear layer's output, and IRMLP's, which a Linear layer
    reads, is folded into that layer; HEMF's two stems become one convolution, its q, k and v one product;
    PerViT's position weights are computed once for images of its configured size. Names of weights change:
    keep the model itself to save, train or explain.

    Args:
        model: a timm model, ours or another; it is left as it is.

    Returns:
        The copy, in eval mode and without gradients, on the model's device and of its type. It is folded and
        compared on the CPU in float32 or more, where rounding hides nothing.

    Raises:
        ValueError: the model gives no single tensor, or the outputs differ; then it uses a layer in a way
            that folding does not know.
    """
    weight = next(model.parameters())
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    fused = fused.to("cpu", torch.promote_types(weight.dtype, torch.float32))
    image = _example(fused)
    with torch.no_grad():
        expected = fused(image)
        if not isinstance(expected, Tensor):
            raise ValueError(f"{type(model).__name__} gives no single tensor here: fuse a whole classifier")
        for layer, owner, name in _layers_before_norms(fused, image):
            _fold_into_layer_before(layer, getattr(owner, name))
            setattr(owner, name, nn.Identity())
        for module in list(fused.modules()):
            if isinstance(module, IRMLP):
                _fold_into_expansion(module)
            elif isinstance(module, ManhattanSelfAttention):
                _join_projections(module)
        if isinstance(fused, HEMF) and fused.local_stem is not None and fused.global_stem is not None:
            fused.joint_stem = JointStem(fused.local_stem, fused.global_stem)
            fused.local_stem = fused.global_stem = None
        if isinstance(fused, PerViT):
            fused.cache_position_weights((image.shape[-2], image.shape[-1]))
        error = (fused(image) - expected).abs().max()
    if not error <= TOLERANCE * max(1.0, expected.abs().max().item()):
        raise ValueError(
            f"{type(model).__name__} gives other outputs when folded (by {error:.1e}): use it as it is"
        )
    return fused.to(weight.device, weight.dtype)


class JointStem(nn.Module):
    """Two stems of equal shape as one convolution and one normalisation.

    Images (B, C, H, W) -> two maps (B, dim, H / 4, W / 4).

    Args:
        first: a convolution and a LayerNorm.
        second: the same, for the same images.
    """

    def __init__(self, first: nn.Sequential, second: nn.Sequential):
        super().__init__()
        self.conv, other = copy.deepcopy(first[0]), second[0]
        assert isinstance(self.conv, nn.Conv2d), "so begins every stem"
        assert isinstance(other, nn.Conv2d), "so begins every stem"
        self.conv.out_channels *= 2
        weight, bias = (
            torch.cat([getattr(c, name) for c in (self.conv, other)]) for name in ("weight", "bias")
        )
        self.conv.weight = nn.Parameter(weight, requires_grad=False)
        self.conv.bias = nn.Parameter(bias, requires_grad=False)
        self.norms = nn.ModuleList([first[1], second[1]])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.conv(x).chunk(2, dim=1)
        return self.norms[0](first), self.norms[1](second)


def _example(model: nn.Module) -> Tensor:
    """Return an image of noise, of the model's configured size."""
    weight = next(model.parameters())
    shape = getattr(model, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
    channels = getattr(model, "in_chans", shape[0])
    noise = torch.rand(1, channels, *shape[1:], generator=torch.Generator().manual_seed(0))
    return noise.to(weight.device, weight.dtype)


def _layers_before_norms(model: nn.Module, image: Tensor) -> list[tuple[Layer, nn.Module, str]]:
    """(layer, owner of the norm, its name) of each BatchNorm that reads what a sibling has just written.

    Siblings alone, for what leaves a module may be read by others too.
    """
    found: list[tuple[Layer, nn.Module, str]] = []
    latest: dict[nn.Module, tuple[Layer, Tensor]] = {}
    hooks = []

    def written(owner: nn.Module, layer: Layer, _: Any, out: Tensor) -> None:
        latest[owner] = (layer, out)  # kept, so that its memory is not given to another

    def read(owner: nn.Module, name: str, _: nn.Module, inputs: tuple[Tensor]) -> None:
        (x,) = inputs
        if owner not in latest:
            return
        layer, out = latest[owner]
        if out.data_ptr() == x.data_ptr() and out.numel() == x.numel():
            found.append((layer, owner, name))

    for owner in model.modules():
        for name, child in owner.named_children():
            if isinstance(child, nn.Conv2d | nn.Linear):
                hooks.append(child.register_forward_hook(partial(written, owner)))
            elif type(child) is nn.BatchNorm2d and child.affine and child.track_running_stats:
                hooks.append(child.register_forward_pre_hook(partial(read, owner, name)))
    model(image)
    for hook in hooks:
        hook.remove()
    return found


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return scale and shift of each channel, to which a BatchNorm in eval mode amounts, in float64."""
    assert norm.running_mean is not None, "only what tracks its statistics is folded"
    assert norm.running_var is not None, "only what tracks its statistics is folded"
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def _fold_into_layer_before(layer: Layer, norm: nn.BatchNorm2d) -> None:
    scale, shift = _scale_and_shift(norm)
    bias = shift if layer.bias is None else layer.bias.double() * scale + shift
    _set(layer, layer.weight.double() * scale.view(-1, *[1] * (layer.weight.ndim - 1)), bias)


def _fold_into_expansion(module: IRMLP) -> None:
    scale, shift = _scale_and_shift(module.norm)
    weight = module.expand.weight.double()
    _set(module.expand, weight * scale, weight @ shift)
    module.register_module("norm", nn.Identity())


def _join_projections(attention: ManhattanSelfAttention) -> None:
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    width = attention.q_proj.in_features
    attention.qkv = nn.Linear(width, 3 * width, dtype=attention.q_proj.weight.dtype)
    _set(attention.qkv, *(torch.cat([getattr(p, name) for p in projections]) for name in ("weight", "bias")))
    for name in ("q_proj", "k_proj", "v_proj"):
        attention.register_module(name, None)


def _set(layer: Layer, weight: Tensor, bias: Tensor) -> None:
    like = layer.weight
    layer.weight = nn.Parameter(weight.to(like), requires_grad=False)
    layer.bias = nn.Parameter(bias.to(like), requires_grad=False)
