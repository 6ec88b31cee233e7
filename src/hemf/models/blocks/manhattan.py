"""Manhattan self-attention of RMT (Fan et al., CVPR 2024) in its decomposed form."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..kernels import usable
from ..kernels.manhattan import is_lepe, manhattan_attention
from ..kernels.written_out import PositionTerms, attend_both_ways, manhattan
from .layers import head_width, maps, register_notrace_module, tokens


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

    angle: Tensor
    decay: Tensor

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
            if constant is not None:
                self._buffers[name] = constant.to(fn(constant).device)
        return self

    def forward(self, height: int, width: int, dtype: torch.dtype = torch.float32) -> PositionTerms:
        """Return terms of maps of ``height`` x ``width`` tokens, float64 if ``dtype`` is, else float32."""
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
        assert position is not None  # what a module returns has no type
        x = tokens(x)
        if self.qkv is None:
            q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        else:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        return maps(self.out_proj(self.attend(q, k, v, position)))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, position: PositionTerms) -> Tensor:
        """Rotate, attend both ways and add LePE, between the projections: from and to (B, H, W, dim)."""
        if torch.jit.is_scripting():  # torch's own operators alone, so that a script runs without hemf
            out = tokens(self.lepe(maps(v))) + attend_both_ways(q, k, v, position)
        else:
            out = self._attend(q, k, v, position)
        return out

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, position: PositionTerms) -> Tensor:
        """Attend by the fastest means."""
        fixed = not any(term.requires_grad for term in position)
        if fixed and usable(v, self.lepe) and is_lepe(self.lepe, v.shape[-1]):
            assert self.lepe.bias is not None, "is_lepe has looked"
            return manhattan_attention(q, k, v, *position, self.lepe.weight, self.lepe.bias)
        return manhattan(q, k, v, position, lambda v: self.lepe(v.to(self.lepe.weight.dtype)))
