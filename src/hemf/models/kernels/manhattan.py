"""``torch.ops.hemf.manhattan``: Manhattan self-attention with LePE, of ``manhattan.c``."""

import ctypes
import math
from typing import Any

import torch
from torch import Tensor

from . import LIBRARY, derive_again, operators, pointers, run

SIDE = 5  # of LePE's convolution


def manhattan_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rotation: Tensor,
    row_bias: Tensor,
    column_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> Tensor:
    """Attention along the rows, then along the columns, plus LePE: (B, H, W, C) of v's type.

    All sums are in float32. Nothing but the arguments is kept for the backward pass.

    Args:
        q: queries (B, H, W, C), not yet rotated; float32 or bfloat16, as k and v.
        k: keys, likewise.
        v: values.
        rotation: ``PositionTerms.rotation``, float32, as the biases.
        row_bias: ``PositionTerms.row_bias``; its first axis is the number of heads.
        column_bias: ``PositionTerms.column_bias``.
        weight: of LePE's 5x5 depthwise convolution (C, 1, 5, 5).
        bias: of the same (C,).

    Raises:
        RuntimeError: there was not memory enough.
    """
    terms = (rotation, row_bias, column_bias)
    return torch.ops.hemf.manhattan(q, k, v, *terms, weight.float(), bias.float())


class Problem(ctypes.Structure):
    """``Problem`` of manhattan.c."""

    _fields_ = (
        *((name, ctypes.c_ssize_t) for name in ("batch", "height", "width", "heads", "depth", "stride")),
        *((name, ctypes.c_ssize_t) for name in ("bfloat16", "threads")),
        *(
            (name, ctypes.c_void_p)
            for name in ("rotation", "row_bias", "column_bias", "weight", "q", "k", "v")
        ),
        ("scale", ctypes.c_float),
    )


def _problem(terms: tuple[Tensor, ...], weight: Tensor, q: Tensor, k: Tensor, v: Tensor) -> ctypes.Structure:
    batch, height, width, channels = q.shape
    heads = len(terms[1])
    depth = channels // heads
    sizes = (batch, height, width, heads, depth, q.stride(2))
    how = (q.dtype == torch.bfloat16, torch.get_num_threads())
    where = (t.data_ptr() for t in (*terms, weight, q, k, v))
    return Problem(*sizes, *how, *where, 1 / math.sqrt(depth))


def _alike(*maps: Tensor) -> tuple[Tensor, ...]:
    """Maps (B, H, W, C) whose tokens lie in order, equally far apart in all, as they mostly do already."""
    _, height, width, _ = maps[0].shape
    step = maps[0].stride(2)
    strides = (height * width * step, width * step, step, 1)
    return maps if all(t.stride() == strides for t in maps) else tuple(t.contiguous() for t in maps)


def _forward(q: Tensor, k: Tensor, v: Tensor, *others: Tensor) -> Tensor:
    q, k, v = _alike(q, k, v)
    *terms, weight, bias = (t.contiguous() for t in others)
    out = torch.empty(v.shape, dtype=v.dtype)
    problem = _problem(tuple(terms), weight, q, k, v)
    run("manhattan_forward", ctypes.byref(problem), *pointers(bias, out))
    return out


def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    q, k, v = _alike(q, k, v)
    grad, *terms, weight = (t.contiguous() for t in (grad, *others))
    found = [torch.empty(v.shape, dtype=v.dtype) for _ in range(3)]
    channels = v.shape[-1]
    parts = [torch.empty(len(v), *shape) for shape in ((channels, 1, SIDE, SIDE), (channels,))]
    problem = _problem(tuple(terms), weight, q, k, v)
    run("manhattan_backward", ctypes.byref(problem), *pointers(grad, *found, *parts))
    return (*found, *(part.sum(0) for part in parts))


def _written_out(
    q: Tensor, k: Tensor, v: Tensor, rotation: Tensor, row_bias: Tensor, column_bias: Tensor, *lepe: Tensor
) -> Tensor:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from ..blocks.manhattan import PositionTerms, written_out

    def convolve(maps: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(maps, *lepe, padding=SIDE // 2, groups=maps.shape[1])

    with sdpa_kernel(SDPBackend.MATH):  # the other backends have no second derivative
        return written_out(q, k, v, PositionTerms(rotation, row_bias, column_bias), convolve)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    inputs = ctx.saved_tensors
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return derive_again(_written_out, inputs, ctx.needs_input_grad, grad)
    *found, weight, bias = torch.ops.hemf.manhattan_backward(grad, *inputs[:-1])
    return (*found, None, None, None, weight, bias)


def _shape(q: Tensor, k: Tensor, v: Tensor, *_: Tensor) -> Tensor:
    return v.new_empty(v.shape)


def _shapes(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    weight = others[-1]
    maps = (v.new_empty(v.shape) for _ in range(3))
    return (*maps, weight.new_empty(weight.shape), weight.new_empty(len(weight)))


if LIBRARY is not None:
    inputs = (
        "Tensor q, Tensor k, Tensor v, Tensor rotation, Tensor row_bias, Tensor column_bias, Tensor weight"
    )
    outputs = "(Tensor, Tensor, Tensor, Tensor, Tensor)"
    operators.define(f"manhattan({inputs}, Tensor bias) -> Tensor")
    operators.define(f"manhattan_backward(Tensor grad, {inputs}) -> {outputs}")
    operators.impl("manhattan", _forward, "CPU")
    operators.impl("manhattan_backward", _backward, "CPU")
    torch.library.register_fake("hemf::manhattan", _shape, lib=operators)
    torch.library.register_fake("hemf::manhattan_backward", _shapes, lib=operators)
    torch.library.register_autograd("hemf::manhattan", _differentiate, setup_context=_keep, lib=operators)
