"""What training minimises: importing this package registers every loss."""

from hemf.losses import asymmetric, class_balanced, cross_entropy, focal, ldam, logit_adjusted
from hemf.losses.registry import LOSSES, balanced_weights, build_loss

__all__ = [
    "LOSSES",
    "asymmetric",
    "balanced_weights",
    "build_loss",
    "class_balanced",
    "cross_entropy",
    "focal",
    "ldam",
    "logit_adjusted",
]
