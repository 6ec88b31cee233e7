"""Cross-entropy, the default."""

from collections.abc import Sequence

from torch import nn

from hemf.config.run_config import RunConfig
from hemf.losses.registry import LOSSES, balanced_weights


@LOSSES.register("cross_entropy")
def cross_entropy(config: RunConfig, counts: Sequence[int]) -> nn.Module:
    """Build cross-entropy with label smoothing and class weights."""
    weights = balanced_weights(counts) if config.class_weights == "balanced" else None
    return nn.CrossEntropyLoss(weight=weights, label_smoothing=config.label_smoothing)
