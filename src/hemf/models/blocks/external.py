"""External attention on a CPU, image by image, so that the scores stay in the caches and are never kept."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.function import FunctionCtx

from ..kernels import derive_again
from ..kernels.written_out import external_with_weights
from .layers import full_precision

HEADROOM = 60.0  # exp(60) x 10^11 tokens fit into float32, and scores 147 below their unit's highest survive


class StreamedExternalAttention(torch.autograd.Function):
    """Multi-head external attention that exponentiates every score once and keeps none for the backward pass.

    With scores s = x K and e = exp(s), the doubly normalised attention of a token is e / z over the units,
    divided by its sum, where z is the sum of e over the tokens. So out = (e V / z) / (e 1 / z): one product
    of e with the values and a column of ones, both divided by z, instead of two passes over e. The backward
    pass computes the scores again from x and t = log z, for the attention is softmax(s - t) over the units.
    """

    @staticmethod
    def forward(x: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Attend from tokens x (B, N, heads, width) to units ``key`` (M, width), ``value`` (width, M).

        Returns:
            The output, shaped as x, and t (B, heads, M).
        """
        dtype = torch.promote_types(x.dtype, torch.float32)
        key, value = key.to(dtype), value.to(dtype)
        out = torch.empty_like(x)
        logarithms = [_attend(x[image].to(dtype), key, value, out[image]) for image in range(len(x))]
        return out, torch.stack(logarithms)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, *output)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        grad = grads[0]  # of the output; t has none
        x, key, value, out, logarithms = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative
            return derive_again(external_with_weights, (x, key, value), ctx.needs_input_grad, grad)
        grad_x = torch.empty_like(x)
        grad_key, grad_value = (torch.zeros_like(t, dtype=logarithms.dtype) for t in (key, value))
        for image in range(len(x)):
            one = (x[image], key, value, out[image], logarithms[image], grad[image])
            with full_precision("cpu"):
                grad_x[image], key_part, value_part = _backward(*(t.to(logarithms.dtype) for t in one))
            grad_key += key_part
            grad_value += value_part
        return grad_x, grad_key.to(key.dtype), grad_value.to(value.dtype)


def _attend(x: Tensor, key: Tensor, value: Tensor, out: Tensor) -> Tensor:
    """Attend from one image's tokens (N, heads, width) into ``out``; return t (heads, M)."""
    num_heads = x.shape[1]
    with full_precision("cpu"):
        scores = torch.bmm(x.transpose(0, 1), key.T.expand(num_heads, -1, -1))
        shift = scores.amax(1, keepdim=True) - HEADROOM
        total = scores.sub_(shift).exp_().sum(1, keepdim=True)
        logarithm = shift + total.log()
        values = F.pad(value.T, (0, 1), value=1.0) / total.mT
        weighted = torch.bmm(scores, values)
        if _underflow(weighted[..., -1]):
            scores = torch.bmm(x.transpose(0, 1), key.T.expand(num_heads, -1, -1))
            weighted = F.pad((scores - logarithm).softmax(-1) @ value.T, (0, 1), value=1.0)
    torch.div(weighted[..., :-1].transpose(0, 1), weighted[..., -1:].transpose(0, 1), out=out)
    return logarithm.squeeze(1)


def _underflow(sums: Tensor) -> bool:
    """Return whether a token's scores all lie so far below their units' highest that their sum is lost.

    Tensors without numbers, on which costs are counted, have no such tokens.
    """
    return not isinstance(sums, FakeTensor) and bool(sums.amin() < torch.finfo(sums.dtype).tiny)


def _backward(
    x: Tensor, key: Tensor, value: Tensor, out: Tensor, logarithm: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of one image's tokens (N, heads, width) and of both memories."""
    scores = F.linear(x, key).sub_(logarithm)
    attention = scores.softmax(-1)
    # Backward through the softmax over the units, then through the logarithm of the sum over the tokens.
    grad_scores = F.linear(grad, value.T)
    grad_scores.sub_((grad * out).sum(-1, keepdim=True)).mul_(attention)
    grad_scores.addcmul_(scores.exp_(), grad_scores.sum(0), value=-1)
    grad_scores, x, grad, attention = (t.flatten(0, 1) for t in (grad_scores, x, grad, attention))
    return (grad_scores @ key).view_as(out), grad_scores.T @ x, grad.T @ attention
