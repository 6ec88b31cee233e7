"""Focal loss: images that are easy already count less (Lin et al. 2017, arXiv:1708.02002, equation 5)."""

from collections.abc import Sequence

from torch import Tensor, nn

from hemf.config.run_config import RunConfig
from hemf.losses.registry import LOSSES, balanced_weights
from hemf.losses.targets import class_shares


class FocalLoss(nn.Module):
    """The mean over images of ``-sum_k w_k t_k (1 - p_k)^gamma log p_k``, with p by softmax and target t.

    Args:
        gamma: how fast the weight of an image falls with its probability; 0 is cross-entropy.
        weights: weights of the K classes; None weighs all alike. The mean is then over these weights, as in
            cross-entropy.
        smoothing: label smoothing.
    """

    weights: Tensor | None

    def __init__(self, gamma: float = 2.0, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        super().__init__()
        self.gamma, self.smoothing = gamma, smoothing
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        likely = logits.log_softmax(1)
        shares = class_shares(target, logits.shape[1], self.smoothing)
        if self.weights is not None:
            shares = shares * self.weights
        return -(shares * (1 - likely.exp()) ** self.gamma * likely).sum() / shares.sum()


@LOSSES.register("focal")
def focal(config: RunConfig, counts: Sequence[int], gamma: float = 2.0) -> nn.Module:
    """Build the focal loss; ``gamma`` of 2 is what its authors found best."""
    weights = balanced_weights(counts) if config.class_weights == "balanced" else None
    return FocalLoss(gamma, weights, config.label_smoothing)
