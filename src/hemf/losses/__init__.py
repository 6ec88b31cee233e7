"""What training minimises: importing this package registers every loss."""

from hemf.losses import cross_entropy
from hemf.losses.registry import LOSSES, balanced_weights, build_loss

__all__ = ["LOSSES", "balanced_weights", "build_loss", "cross_entropy"]
