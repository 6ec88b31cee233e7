"""Which stage decided: weights and evidence of the stages that a selecting network mixes for its head."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from hemf.explanation.taps import classes_of, differentiable
from hemf.models.blocks import StageSelection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from timm.layers import LayerNorm2d

    from hemf.models import HEMF


@dataclass(frozen=True)
class Selected:
    """What the stages of a network have to do with its logit of a class.

    Args:
        weights: of each stage in the mixture that the head reads; their sum is 1.
        evidence: of each stage for the class; negative where it speaks against it.
    """

    weights: np.ndarray
    evidence: np.ndarray

    @property
    def decided(self) -> int | None:
        """The number from 1 of the stage with the most evidence for the class; None where none has any."""
        stage = int(self.evidence.argmax())
        return stage + 1 if self.evidence[stage] > 0 else None


def selects(model: nn.Module) -> bool:
    """Return whether the network's head reads a mixture of stages (``HEMF(selection=...)``)."""
    return isinstance(getattr(model, "selection", None), StageSelection)


def selected_stages(model: nn.Module, images: Tensor, targets: Sequence[int] | None = None) -> list[Selected]:
    """Divide the logit of a class among the stages, for each image of a batch.

    What the head reads is the sum over stages i of w_i A_i (``StageSelection``), so that but for its norm a
    logit is a sum over them too. With the norm's divisor held at the value that it has for the image (Ali et
    al. 2022, arXiv:2202.07304), it stays one: the evidence of stage i is w_i times the gradient by w_i of the
    class's logit, less the mean logit of all classes. To that difference the stages' evidence adds up, but
    for a constant of the class.

    Args:
        model: a network that ``selects``; it runs in evaluation mode and in float32, and is left as it was.
        images: B x C x H x W, as the model takes them.
        targets: the class of each image; by default the one that the model predicts.

    Returns:
        One record an image, of n weights and n parts of the evidence, float64, from the first stage to the
        last.

    Raises:
        HemfError: a class that is none.
    """
    network = cast("HEMF", model)
    selection, norm = network.selection, cast("LayerNorm2d", network.head.norm)
    assert selection is not None, "only for a network that selects"
    with differentiable(model, images) as inputs:
        with torch.no_grad():
            aligned = selection.align(
                cast("list[Tensor]", network.forward_intermediates(inputs, intermediates_only=True))
            )
            weights = selection.weigh(aligned)
        weights.requires_grad_()
        with _constant_divisor(norm):
            logits = network.forward_head(selection.mix(aligned, weights))
        above = logits - logits.mean(1, keepdim=True)
        classes = torch.tensor(classes_of(targets, logits), device=logits.device)
        (slope,) = torch.autograd.grad(above.gather(1, classes[:, None]).sum(), weights)
    shares = (weights.detach(), weights.detach() * slope)
    return [Selected(*parts) for parts in zip(*(one.double().cpu().numpy() for one in shares), strict=True)]


@contextmanager
def _constant_divisor(norm: "LayerNorm2d") -> "Iterator[None]":
    """Let no gradient through the standard deviation of a LayerNorm over channels."""

    def linear(_module: nn.Module, inputs: tuple[Tensor], _out: Any) -> Tensor:
        (x,) = inputs
        divisor = (x.var(1, keepdim=True, correction=0) + norm.eps).sqrt().detach()
        scaled = (x - x.mean(1, keepdim=True)) / divisor
        return scaled * norm.weight[:, None, None] + norm.bias[:, None, None]

    handle = norm.register_forward_hook(linear)
    try:
        yield
    finally:
        handle.remove()
