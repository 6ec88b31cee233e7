"""Label-distribution-aware margins, with weights late in training (Cao et al. 2019, arXiv:1906.07413)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hemf.config.run_config import RunConfig
from hemf.losses.class_balanced import effective_weights
from hemf.losses.registry import LOSSES
from hemf.losses.targets import class_shares


class LDAMLoss(nn.Module):
    """Cross-entropy in which the logit of the true class k is lowered by a margin ``C / n_k^(1/4)``.

    Of mixed targets it is the mean over the classes, each with its own margin.

    Args:
        counts: training images of each class; a class without any is taken to have one.
        max_margin: margin of the rarest class, in units of the logits.
        weights: weights of the K classes, used from ``defer`` on.
        defer: share of the epochs after which classes are weighted.
        smoothing: label smoothing.
    """

    margins: Tensor
    weights: Tensor | None

    def __init__(
        self,
        counts: Sequence[int],
        max_margin: float = 0.5,
        weights: Tensor | None = None,
        defer: float = 0.8,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        root = torch.tensor(counts, dtype=torch.float64).clamp(min=1) ** -0.25
        self.defer, self.smoothing, self.weighted = defer, smoothing, False
        self.register_buffer("margins", (max_margin * root / root.max()).float(), persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Take note that the epoch of this number, from 0, begins, of so many in all."""
        self.weighted = epoch >= self.defer * epochs

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        likely = logits.log_softmax(1)
        # log softmax_k with logit k lowered by m is  log p_k - m - log(1 + p_k (e^-m - 1))
        lowered = likely - self.margins - torch.log1p(likely.exp() * torch.expm1(-self.margins))
        shares = class_shares(target, logits.shape[1], self.smoothing)
        if self.weighted and self.weights is not None:
            shares = shares * self.weights
        return -(shares * lowered).sum() / shares.sum()


@LOSSES.register("ldam")
def ldam(
    config: RunConfig,
    counts: Sequence[int],
    max_margin: float = 0.5,
    beta: float = 0.9999,
    defer: float = 0.8,
) -> nn.Module:
    """Build LDAM with deferred re-weighting (DRW), its ``max_margin``, ``beta`` and ``defer`` as published.

    The published code makes logits of cosines, times 30; here they are the network's own.
    """
    return LDAMLoss(counts, max_margin, effective_weights(counts, beta), defer, config.label_smoothing)
