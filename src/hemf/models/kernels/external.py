"""``torch.ops.hemf.external``: multi-head external attention, of ``external.c``."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import LIBRARY, derive_again, operators, pointers, run
from .written_out import external_with_weights


def external_attention(x: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute multi-head external attention: (B, N, heads, width) of x's type, all sums in float32.

    Neither scores nor the output are kept for the backward pass.

    Args:
        x: tokens (B, N, heads, width), float32 or bfloat16.
        key: the units' keys (M, width).
        value: the units' values, as a Linear layer keeps them (width, M).

    Raises:
        ValueError: shapes or types do not fit together.
        RuntimeError: there was not memory enough.
    """
    return torch.ops.hemf.external(x, key.float(), value.float())[0]


class Problem(ctypes.Structure):
    """``Problem`` of external.c."""

    _fields_ = (
        *((name, ctypes.c_ssize_t) for name in ("batch", "tokens", "heads", "depth", "units")),
        *((name, ctypes.c_ssize_t) for name in ("bfloat16", "threads")),
        *((name, ctypes.c_void_p) for name in ("x", "key", "value")),
    )


def _problem(x: Tensor, key: Tensor, value: Tensor) -> ctypes.Structure:
    how = (x.dtype == torch.bfloat16, torch.get_num_threads())
    return Problem(*x.shape, len(key), *how, x.data_ptr(), key.data_ptr(), value.data_ptr())


def _check(tokens: Sequence[Tensor], key: Tensor, value: Tensor) -> None:
    """Check shapes and types, because C believes what it is told."""
    alike = all(t.shape == tokens[0].shape and t.dtype == tokens[0].dtype for t in tokens)
    floats = key.dtype == value.dtype == torch.float32
    if not (alike and floats) or key.shape[1] != tokens[0].shape[-1] or value.shape != key.shape[::-1]:
        raise ValueError(
            f"tokens {[tuple(t.shape) for t in tokens]} need float32 keys (M, width) and values (width, M), "
            f"not {tuple(key.shape)} and {tuple(value.shape)}"
        )


def _forward(x: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    _check([x], key, value)
    x, key, value = x.contiguous(), key.contiguous(), value.T.contiguous()
    out, logarithms = _shapes(x, key, value)
    problem = _problem(x, key, value)
    run("external_forward", ctypes.byref(problem), *pointers(out, logarithms))
    return out, logarithms


def _backward(grad: Tensor, x: Tensor, key: Tensor, value: Tensor, logarithms: Tensor) -> tuple[Tensor, ...]:
    _check([x, grad], key, value)
    grad, x, key, value = grad.contiguous(), x.contiguous(), key.contiguous(), value.T.contiguous()
    grad_x = torch.empty_like(x)
    parts = [torch.empty(*logarithms.shape[:2], *key.shape) for _ in range(2)]
    problem = _problem(x, key, value)
    run("external_backward", ctypes.byref(problem), *pointers(logarithms, grad, grad_x, *parts))
    grad_key, grad_value = (part.sum((0, 1)) for part in parts)
    return grad_x, grad_key, grad_value.T.contiguous()


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs, output[1])


def _differentiate(ctx: Any, grad: Tensor, _: None) -> tuple[Tensor | None, ...]:
    *inputs, logarithms = ctx.saved_tensors
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return derive_again(external_with_weights, inputs, ctx.needs_input_grad, grad)
    return tuple(torch.ops.hemf.external_backward(grad, *inputs, logarithms))


def _shapes(x: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), key.new_empty(x.shape[0], x.shape[2], key.shape[0])


def _gradients(grad: Tensor, x: Tensor, key: Tensor, value: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.new_empty(t.shape) for t in (x, key, value))


if LIBRARY is not None:
    inputs = "Tensor x, Tensor key, Tensor value"
    operators.define(f"external({inputs}) -> (Tensor, Tensor)")
    operators.define(
        f"external_backward(Tensor grad, {inputs}, Tensor logarithms) -> (Tensor, Tensor, Tensor)"
    )
    operators.impl("external", _forward, "CPU")
    operators.impl("external_backward", _backward, "CPU")
    torch.library.register_fake("hemf::external", _shapes, lib=operators)
    torch.library.register_fake("hemf::external_backward", _gradients, lib=operators)
    torch.library.register_autograd("hemf::external", _differentiate, setup_context=_keep, lib=operators)
