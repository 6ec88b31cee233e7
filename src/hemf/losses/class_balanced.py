"""Cross-entropy weighted by the effective number of images of a class (Cui et al. 2019, arXiv:1901.05555)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hemf.config.run_config import RunConfig
from hemf.losses.registry import LOSSES


def effective_weights(counts: Sequence[int], beta: float) -> Tensor:
    """Compute ``(1 - beta) / (1 - beta^n)`` of each class, scaled to sum to the number of classes that occur.

    This lies between no weights at all (beta of 0) and weights inverse to the counts (beta near 1). A class
    without images gets 0.
    """
    images = torch.tensor(counts, dtype=torch.float64)
    weights = torch.where(images > 0, (1 - beta) / (1 - beta**images), 0.0)
    return (weights * (images > 0).sum() / weights.sum()).float()


@LOSSES.register("class_balanced")
def class_balanced(config: RunConfig, counts: Sequence[int], beta: float = 0.999) -> nn.Module:
    """Build class-balanced cross-entropy; the paper tries ``beta`` of 0.9, 0.99, 0.999 and 0.9999."""
    return nn.CrossEntropyLoss(effective_weights(counts, beta), label_smoothing=config.label_smoothing)
