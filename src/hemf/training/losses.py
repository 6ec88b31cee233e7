"""Losses by name. A new one is one decorated function that builds an ``nn.Module``.

The module is called as ``loss(logits, target)`` with logits ``(B, K)`` in float32 and either class indices
``(B,)`` or, under MixUp and CutMix, class shares ``(B, K)``; it returns the mean over the batch.
"""

import difflib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hemf.config import RunConfig
from hemf.errors import HemfError

LossBuilder = Callable[[RunConfig, Tensor | None], nn.Module]
LOSSES: dict[str, LossBuilder] = {}


def register_loss(build: LossBuilder) -> LossBuilder:
    """Register ``build(config, class_weights) -> nn.Module`` under the function's name."""
    LOSSES[build.__name__] = build
    return build


@register_loss
def cross_entropy(config: RunConfig, class_weights: Tensor | None) -> nn.Module:
    """Cross-entropy with label smoothing and class weights."""
    return nn.CrossEntropyLoss(weight=class_weights, label_smoothing=config.label_smoothing)


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """Weight of each class, inverse to its count, with mean 1 over the images; an absent class gets 0.

    Args:
        counts: training images of each class.
    """
    images = torch.tensor(counts, dtype=torch.float64)
    weights = images.sum() / ((images > 0).sum() * images)
    return torch.where(images > 0, weights, 0.0).float()


def build_loss(config: RunConfig, counts: Sequence[int]) -> nn.Module:
    """The run's loss.

    Args:
        config: names the loss and its options.
        counts: training images of each class.

    Raises:
        HemfError: no loss of that name.
    """
    if config.loss not in LOSSES:
        close = difflib.get_close_matches(config.loss, LOSSES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"give one of {', '.join(sorted(LOSSES))}"
        raise HemfError(f"no loss {config.loss!r}; {hint}")
    weights = balanced_weights(counts) if config.class_weights == "balanced" else None
    return LOSSES[config.loss](config, weights)
