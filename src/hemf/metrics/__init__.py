"""Measures of predictions, their intervals, and tests of differences; importing it registers every task's."""

from hemf.metrics import multiclass
from hemf.metrics.registry import MEASURES

__all__ = ["MEASURES", "multiclass"]
