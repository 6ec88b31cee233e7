"""Where a network's first weights come from: importing this package registers every named source."""

from hemf.weights import pypi
from hemf.weights.find import find_weights
from hemf.weights.registry import WEIGHTS, Weights

__all__ = ["WEIGHTS", "Weights", "find_weights", "pypi"]
