"""What the kernels compute, written out in torch's own operators.

These run where there is no kernel, or where something needs to see each step: exporters, function transforms,
second derivatives.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layout import full_precision, maps, tokens

Linear = Callable[[Tensor], Tensor]


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


def manhattan(
    q: Tensor, k: Tensor, v: Tensor, position: PositionTerms, lepe: Callable[[Tensor], Tensor]
) -> Tensor:
    """Compute attention and LePE by torch's own kernels, from and to (B, H, W, dim) of v's type.

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
        return tokens(lepe(maps(v))) + attend_both_ways(q, k, v, position)
    with full_precision("cpu"):
        # In this order the sum lies row by row, as the projection reads it; attention's columns do not.
        full = v.to(position.rotation.dtype)
        return (tokens(lepe(maps(full))) + attend_both_ways(q, k, full, position)).to(v.dtype)


def attend_both_ways(q: Tensor, k: Tensor, v: Tensor, position: PositionTerms) -> Tensor:
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


def external(x: Tensor, memory_key: Linear, memory_value: Linear) -> Tensor:
    """Compute external attention from tokens x (B, N, heads, width), with all scores in memory at once."""
    return memory_value(normalise_twice(memory_key(x)).to(x.dtype))


def normalise_twice(scores: Tensor) -> Tensor:
    """Make scores (B, N, heads, M) attention, in float32 or more: softmax over N, divided by sums over M."""
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    return (scores - scores.logsumexp(dim=1, keepdim=True)).softmax(dim=-1)


def external_with_weights(x: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute the same by weights (M, width) and (width, M), whose type may be wider than that of x."""
    layers = (partial(F.linear, weight=key), partial(F.linear, weight=value))
    return external(x.to(torch.promote_types(x.dtype, key.dtype)), *layers).to(x.dtype)
