"""Small layers the other blocks are made of.

Every block takes and returns maps (B, C, H, W). They are meant to lie in memory channels-last, so that
``tokens`` is a view, and a 1x1 convolution is a matrix product on that view.
"""

from collections.abc import Sequence
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d, calculate_drop_path_rates
from timm.models import register_notrace_module as register_leaf
from torch import Tensor, nn

from ..kernels import unwatched
from ..layout import full_precision, maps, tokens

__all__ = [
    "ConvBN1x1",
    "LayerNorm2d",
    "convolve",
    "downsample",
    "drop_path_by_stage",
    "full_precision",
    "head_width",
    "maps",
    "patch_stem",
    "register_notrace_module",
    "tokens",
]

Layer = TypeVar("Layer", bound=type[nn.Module])


def register_notrace_module(layer: Layer) -> Layer:
    """Make a class of layers a leaf of ``torch.fx``: timm's decorator, whose types forget the class."""
    register_leaf(layer)
    return layer


def drop_path_by_stage(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Chance of dropping each block, stage by stage: from 0 to ``rate`` over all blocks, as timm has it."""
    return cast("list[list[float]]", calculate_drop_path_rates(rate, list(depths), stagewise=True))


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Compute a 3x3 convolution with padding 1, ``conv(x)``, another way where that is faster.

    In bf16 on a CPU, on maps up to 4 x 4, one product of unfolded patches with the weights takes a third to
    four fifths of the library's time, if the weights lie channels-last, and so patch by patch.
    """
    in_bf16 = torch.bfloat16 in (x.dtype, conv.weight.dtype) or (
        torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
    small = in_bf16 and max(x.shape[2:]) <= 4 and not torch.compiler.is_compiling()
    if not small or not unwatched(x, conv) or not _is_dense_3x3(conv):
        return conv(x)
    patches = F.pad(tokens(x), (0, 0, 1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1)
    patches = patches.permute(0, 1, 2, 4, 5, 3).flatten(3)
    return maps(F.linear(patches, tokens(conv.weight).flatten(1), conv.bias))


def _is_dense_3x3(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.padding, conv.stride, conv.dilation, conv.groups, conv.padding_mode)
    channels_last = conv.weight.is_contiguous(memory_format=torch.channels_last)
    return channels_last and shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")


def head_width(dim: int, num_heads: int) -> int:
    """Return the channels of each of ``num_heads`` heads.

    Raises:
        ValueError: ``dim`` is not a multiple of ``num_heads``.
    """
    if dim % num_heads:
        raise ValueError(
            f"{dim} channels do not divide into {num_heads} heads: choose a multiple of {num_heads}"
        )
    return dim // num_heads


def patch_stem(in_chans: int, dim: int, eps: float = 1e-6) -> nn.Sequential:
    """Build patches of 4x4 pixels and a LayerNorm: (B, in_chans, H, W) -> (B, dim, H / 4, W / 4)."""
    return nn.Sequential(nn.Conv2d(in_chans, dim, 4, stride=4), LayerNorm2d(dim, eps=eps))


def downsample(in_dim: int | None, dim: int) -> nn.Module:
    """Build a LayerNorm and patches of 2x2: (B, in_dim, H, W) -> (B, dim, H / 2, W / 2).

    In the first stage, where ``in_dim`` is None, nothing.
    """
    if in_dim is None:
        return nn.Identity()
    return nn.Sequential(LayerNorm2d(in_dim), nn.Conv2d(in_dim, dim, 2, stride=2))


class ConvBN1x1(nn.Module):
    """A 1x1 convolution and batch normalisation: (B, in_dim, H, W) -> (B, out_dim, H, W).

    Args:
        in_dim: channels of the input.
        out_dim: channels of the output.
        bias: give the convolution a bias of its own.
    """

    def __init__(self, in_dim: int, out_dim: int, bias: bool = True):
        super().__init__()
        self.conv = nn.Linear(in_dim, out_dim, bias=bias)
        self.bn = nn.BatchNorm2d(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(maps(self.conv(tokens(x))))
