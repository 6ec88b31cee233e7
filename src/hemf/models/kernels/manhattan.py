"""``torch.ops.hemf.manhattan``: Manhattan self-attention with LePE, of ``manhattan.c``."""

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import LIBRARY, derive_again, operators, pointers, run, written_out

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
    """Attend along the rows, then along the columns, plus LePE: (B, H, W, C) of v's type.

    All sums are in float32. Nothing but the arguments is kept for the backward pass.

    Args:
        q: queries (B, H, W, C), not yet rotated; float32 or bfloat16, as k and v.
        k: keys, likewise.
        v: values.
        rotation: ``PositionTerms.rotation``, float32, as the biases.
        row_bias: ``PositionTerms.row_bias`` (heads, W, W). Of this, and of the two others, no gradient is
            given, and what repeats is read once: the first head's rotation, the first row of a bias.
        column_bias: ``PositionTerms.column_bias`` (heads, H, H).
        weight: weight of LePE's 5x5 depthwise convolution (C, 1, 5, 5).
        bias: bias of the same (C,).

    Raises:
        ValueError: shapes or types do not fit together.
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


def is_lepe(layer: nn.Conv2d, channels: int) -> bool:
    """Return whether a convolution is the one of the kernel: 5x5, depthwise, padded by two, with a bias."""
    shape = (tuple(layer.weight.shape), layer.stride, layer.padding, layer.dilation, layer.padding_mode)
    wanted = ((channels, 1, SIDE, SIDE), (1, 1), (SIDE // 2, SIDE // 2), (1, 1), "zeros")
    return shape == wanted and layer.bias is not None


def _check(maps: Sequence[Tensor], terms: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> None:
    """Check shapes and types, because C believes what it is told."""
    _, height, width, channels = maps[0].shape
    heads = len(terms[1])
    shapes = ((height, width, channels // 2, 2), (heads, width, width), (heads, height, height))
    alike = all(t.shape == maps[0].shape and t.dtype == maps[0].dtype for t in maps)
    fit = all(t.shape == shape for t, shape in zip(terms, shapes, strict=True))
    floats = all(t.dtype == torch.float32 for t in (*terms, weight))
    lepe = weight.shape == (channels, 1, SIDE, SIDE) and (bias is None or bias.shape == weight.shape[:1])
    if not (alike and fit and floats and lepe) or channels % (2 * heads):
        raise ValueError(
            f"maps {[(tuple(t.shape), t.dtype) for t in maps]} need float32 terms of shapes {shapes}, "
            f"weights ({channels}, 1, {SIDE}, {SIDE}) and as many biases, "
            f"not {[tuple(t.shape) for t in (*terms, weight, bias) if t is not None]}"
        )


def _problem(maps: Sequence[Tensor], terms: Sequence[Tensor], weight: Tensor, step: int) -> ctypes.Structure:
    batch, height, width, channels = maps[0].shape
    heads = len(terms[1])
    depth = channels // heads
    sizes = (batch, height, width, heads, depth, step)
    how = (maps[0].dtype == torch.bfloat16, torch.get_num_threads())
    where = (t.data_ptr() for t in (*terms, weight, *maps))
    return Problem(*sizes, *how, *where, 1 / math.sqrt(depth))


def _alike(*maps: Tensor) -> tuple[list[Tensor], int]:
    """Maps (B, H, W, C) whose tokens lie in order, equally far apart in all, and how far; mostly they do."""
    _, height, width, channels = maps[0].shape
    step = maps[0].stride(2)
    if all(t.stride() == (height * width * step, width * step, step, 1) for t in maps):
        return list(maps), step
    return [t.contiguous() for t in maps], channels


def _forward(q: Tensor, k: Tensor, v: Tensor, *others: Tensor) -> Tensor:
    *terms, weight, bias = (t.contiguous() for t in others)
    _check((q, k, v), terms, weight, bias)
    maps, step = _alike(q, k, v)
    out = torch.empty(v.shape, dtype=v.dtype)
    problem = _problem(maps, terms, weight, step)
    run("manhattan_forward", ctypes.byref(problem), *pointers(bias, out))
    return out


def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    grad, *terms, weight = (t.contiguous() for t in (grad, *others))
    _check((q, k, v, grad), terms, weight, None)
    maps, step = _alike(q, k, v)
    found = [torch.empty(v.shape, dtype=v.dtype) for _ in range(3)]
    parts = [torch.empty(len(v), *shape) for shape in (weight.shape, weight.shape[:1])]
    problem = _problem(maps, terms, weight, step)
    run("manhattan_backward", ctypes.byref(problem), *pointers(grad, *found, *parts))
    return (*found, *(part.sum(0) for part in parts))


def _written_out(
    q: Tensor, k: Tensor, v: Tensor, rotation: Tensor, row_bias: Tensor, column_bias: Tensor, *lepe: Tensor
) -> Tensor:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def convolve(maps: Tensor) -> Tensor:
        weight, bias = lepe
        return torch.nn.functional.conv2d(maps, weight, bias, padding=SIDE // 2, groups=maps.shape[1])

    with sdpa_kernel(SDPBackend.MATH):  # the other backends have no second derivative
        return written_out.manhattan(
            q, k, v, written_out.PositionTerms(rotation, row_bias, column_bias), convolve
        )


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    inputs = ctx.saved_tensors
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return derive_again(_written_out, inputs, ctx.needs_input_grad, grad)
    *found, weight, bias = torch.ops.hemf.manhattan_backward(grad, *inputs[:-1])
    return (*found, None, None, None, _laid_out_as(inputs[-2], weight), bias)


def _laid_out_as(weight: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient with its weight's strides, as DDP wants it; those of channels-last are not C's."""
    return grad.new_empty_strided(weight.shape, weight.stride()).copy_(grad)


def _shape(q: Tensor, k: Tensor, v: Tensor, *_: Tensor) -> Tensor:
    return v.new_empty(v.shape)


def _shapes(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    weight = others[-1]
    maps = (v.new_empty(v.shape) for _ in range(3))
    return (*maps, weight.new_empty(weight.shape), weight.new_empty(weight.shape[0]))


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
