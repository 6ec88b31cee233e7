"""Manhattan self-attention of RMT (Fan et al., CVPR 2024) in its decomposed form."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.models import register_notrace_module
from torch import Tensor, nn

from ..kernels import usable
from ..kernels.manhattan import is_lepe, manhattan_attention
from .layers import full_precision, head_width, maps, tokens


class PositionTerms(NamedTuple):
    """What Manhattan self-attention needs to know of a map's size; the same for every block of a stage.

    Attributes:
        rotation: cosine and sine of the phase of each token's pairs (H, W, heads * head_dim / 2, 2).
        row_bias: log-decay x distance along the width (heads, W, W).
        column_bias: log-decay x distance along the height (heads, H, H).
    """

    rotation: Tensor
    row_bias: Tensor
    column_bias: Tensor


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate adjacent pairs of channels of (B, H, W, heads * head_dim), in the rotation's precision.

    As complex numbers that is one pass over the memory; compilers, which know none, fuse what is written out.
    """
    pairs = x.to(rotation.dtype).unflatten(-1, (-1, 2))
    if not torch.jit.is_scripting() and torch.compiler.is_compiling():
        first, second = pairs.unbind(-1)
        cos, sin = rotation.unbind(-1)
        return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1).flatten(-2)
    turned = torch.view_as_complex(pairs) * torch.view_as_complex(rotation)
    return torch.view_as_real(turned).flatten(-2)


class ManhattanPosition(nn.Module):
    """Rotary angles and decay rates of Manhattan self-attention: constants, never learned or saved.

    Angles are 10000^-linspace(0, 1, head_dim / 2), each serving one adjacent pair of channels; head i of n
    decays by log(1 - 2^(-1 - 3 i / n)) per step. Both are float32 numbers, as in RMT, and stay so whatever
    the model is cast to: in bfloat16 an angle would turn the last of 3,136 tokens by radians too far.

    Args:
        head_dim: channels of a head, even.
        num_heads: number of heads.

    Raises:
        ValueError: ``head_dim`` is odd.
    """

    def __init__(self, head_dim: int, num_heads: int):
        super().__init__()
        if head_dim % 2:
            raise ValueError(
                f"rotary heads need an even width, got {head_dim}: change the channels or the heads"
            )
        angle = 1 / 10000 ** torch.linspace(0, 1, head_dim // 2, dtype=torch.float32)
        decay = torch.log(1 - 2 ** (-1 - 3 * torch.arange(num_heads, dtype=torch.float32) / num_heads))
        self.register_buffer("angle", angle, persistent=False)
        self.register_buffer("decay", decay, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ManhattanPosition":
        """Follow the module to another device, but keep the precision under ``half()`` and its like."""
        for name, constant in self._buffers.items():
            self._buffers[name] = constant.to(fn(constant).device)
        return self

    def forward(self, height: int, width: int, dtype: torch.dtype = torch.float32) -> PositionTerms:
        """Terms of maps of ``height`` x ``width`` tokens, float64 if ``dtype`` is, else float32."""
        dtype = torch.promote_types(dtype, torch.float32)
        # Sine and cosine want the full phase: index x angle reaches thousands of radians.
        exact = torch.float32 if self.angle.device.type == "mps" else torch.float64
        index = torch.arange(height * width, device=self.angle.device, dtype=exact)
        phase = index[:, None] * self.angle.to(exact)
        rotation = torch.stack([phase.cos(), phase.sin()], dim=-1).to(dtype)
        rotation = rotation.repeat(1, len(self.decay), 1).unflatten(0, (height, width))
        decay = self.decay.to(dtype)[:, None, None]
        return PositionTerms(rotation, decay * _distance(width, decay), decay * _distance(height, decay))


def _distance(length: int, like: Tensor) -> Tensor:
    position = torch.arange(length, device=like.device, dtype=like.dtype)
    return (position[:, None] - position).abs()


@register_notrace_module
class ManhattanSelfAttention(nn.Module):
    """Manhattan self-attention, decomposed (RMT, section 3.2): (B, dim, H, W) -> (B, dim, H, W).

    Queries and keys are rotated by the row-major token index. Tokens first attend along the width within
    their row, then along the height within their column, each a softmax of q.k plus log-decay x distance; the
    first pass's output is the second's value. A depthwise 5x5 convolution of v (LePE) is added before the
    output projection. Memory grows with the cube of the side at most, not with its fourth power.

    Args:
        dim: channels, a multiple of ``num_heads`` with an even quotient.
        num_heads: number of heads.

    Raises:
        ValueError: ``dim`` does not divide into heads of even width.
    """

    def __init__(self, dim: int, num_heads: int = 8):
        super().__init__()
        self.num_heads = num_heads
        self.position = ManhattanPosition(head_width(dim, num_heads), num_heads)
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.qkv: nn.Linear | None = None  # ``hemf.models.fuse`` puts the three in one
        self.lepe = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.out_proj = nn.Linear(dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections as RMT does: Xavier normal, gain 2^-2.5 for q, k and v; biases zero."""
        for projection in (self.q_proj, self.k_proj, self.v_proj, self.out_proj):
            gain = 1.0 if projection is self.out_proj else 2**-2.5
            nn.init.xavier_normal_(projection.weight, gain=gain)
            nn.init.zeros_(projection.bias)

    def forward(self, x: Tensor, position: PositionTerms | None = None) -> Tensor:
        """Attend; ``position`` spares computing ``self.position(H, W, x.dtype)`` again."""
        height, width = x.shape[-2:]
        if position is None:
            position = self.position(height, width, x.dtype)
        x = tokens(x)
        if self.qkv is None:
            q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        else:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        return maps(self.out_proj(self.attend(q, k, v, position)))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, position: PositionTerms) -> Tensor:
        """What lies between the projections, from and to (B, H, W, dim): rotation, both attentions, LePE."""
        if torch.jit.is_scripting():  # torch's own operators alone, so that a script runs without hemf
            out = tokens(self.lepe(maps(v))) + _attend_both_ways(q, k, v, position)
        else:
            out = self._attend(q, k, v, position)
        return out

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, position: PositionTerms) -> Tensor:
        """The same by the fastest means."""
        fixed = not any(term.requires_grad for term in position)
        if fixed and usable(v, self.lepe) and is_lepe(self.lepe, v.shape[-1]):
            return manhattan_attention(q, k, v, *position, self.lepe.weight, self.lepe.bias)
        return written_out(q, k, v, position, lambda v: self.lepe(v.to(self.lepe.weight.dtype)))


def written_out(
    q: Tensor, k: Tensor, v: Tensor, position: PositionTerms, lepe: Callable[[Tensor], Tensor]
) -> Tensor:
    """Attention and LePE by torch's own kernels, from and to (B, H, W, dim) of v's type.

    In full precision on a CPU, where bfloat16 saves nothing at lines as short as these, and in the backward
    pass takes ten times as long for the attention and three times for the convolution.

    Args:
        q: queries, not yet rotated.
        k: keys, not yet rotated.
        v: values.
        position: terms of the maps' size.
        lepe: the depthwise convolution of maps (B, dim, H, W).
    """
    if v.device.type != "cpu":
        return tokens(lepe(maps(v))) + _attend_both_ways(q, k, v, position)
    with full_precision("cpu"):
        # In this order the sum lies row by row, as the projection reads it; attention's columns do not.
        full = v.to(position.rotation.dtype)
        return (tokens(lepe(maps(full))) + _attend_both_ways(q, k, full, position)).to(v.dtype)


def _attend_both_ways(q: Tensor, k: Tensor, v: Tensor, position: PositionTerms) -> Tensor:
    """Rotate, then attend along the rows and along the columns, from and to (B, H, W, dim) of v's type."""
    q, k = rotate(q, position.rotation).to(v.dtype), rotate(k, position.rotation).to(v.dtype)
    heads = len(position.row_bias)
    q, k, v = q.unflatten(-1, (heads, -1)), k.unflatten(-1, (heads, -1)), v.unflatten(-1, (heads, -1))
    v = _attend_within_lines(q, k, v, position.row_bias)
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    return _attend_within_lines(q, k, v, position.column_bias).transpose(1, 2).flatten(-2)


def _attend_within_lines(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attend within each line of (B, lines, length, heads, head_dim); lines are folded into the batch."""
    lines = q.shape[:2]
    q, k, v = [t.flatten(0, 1).transpose(1, 2) for t in (q, k, v)]
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=bias.to(q.dtype)[None], scale=1 / math.sqrt(q.shape[-1])
    )
    return out.transpose(1, 2).unflatten(0, lines)
