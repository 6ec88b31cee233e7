"""Learning from images without labels: importing this package registers every method."""

from hemf.pretraining import distill, vicreg
from hemf.pretraining.registry import METHODS, Method

__all__ = ["METHODS", "Method", "distill", "vicreg"]
