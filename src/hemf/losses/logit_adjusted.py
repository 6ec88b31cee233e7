"""Cross-entropy of logits to which the logarithm of each class's share is added (Menon et al. 2021).

The network learns what is left to say once the frequency of the classes is said, so its own logits are those
of equally frequent classes: their argmax is consistent for the balanced error (arXiv:2007.07314, theorem 1).
Their softmax is therefore no probability at the data's own frequencies; adding ``tau log share`` again would
make it one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hemf.config.run_config import RunConfig
from hemf.losses.registry import LOSSES
from hemf.losses.targets import class_shares


class LogitAdjustedLoss(nn.Module):
    """Cross-entropy of ``logits + tau log share`` (equation 10).

    Args:
        counts: training images of each class; a class without any is taken to have one.
        tau: how much of the frequencies is taken out; 0 is cross-entropy.
        smoothing: label smoothing.
    """

    adjustment: Tensor

    def __init__(self, counts: Sequence[int], tau: float = 1.0, smoothing: float = 0.0) -> None:
        super().__init__()
        images = torch.tensor(counts, dtype=torch.float64).clamp(min=1)
        self.smoothing = smoothing
        self.register_buffer("adjustment", (tau * (images / images.sum()).log()).float(), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        likely = (logits + self.adjustment).log_softmax(1)
        return -(class_shares(target, logits.shape[1], self.smoothing) * likely).sum(1).mean()


@LOSSES.register("logit_adjusted")
def logit_adjusted(config: RunConfig, counts: Sequence[int], tau: float = 1.0) -> nn.Module:
    """Build logit-adjusted cross-entropy; ``tau`` of 1 is the theory's."""
    return LogitAdjustedLoss(counts, tau, config.label_smoothing)
