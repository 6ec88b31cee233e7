"""Targets of either kind, class indices or class shares, as shares."""

import torch.nn.functional as F
from torch import Tensor


def class_shares(target: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """Return the share that each image has of each class, B x K float32 with rows that sum to one.

    Args:
        target: class indices ``(B,)``, or class shares ``(B, K)`` as MixUp and CutMix give them.
        classes: their number K.
        smoothing: share of the target that is spread evenly over the classes.
    """
    shares = F.one_hot(target, classes).float() if target.dim() == 1 else target.float()
    return shares * (1 - smoothing) + smoothing / classes
