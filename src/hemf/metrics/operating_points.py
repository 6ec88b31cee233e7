"""Measures, as clinicians ask, what a threshold chosen on validation images does on others."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hemf.calibration.record import OperatingPoint
from hemf.metrics.classification import ABSENT, NEVER_PREDICTED, ONE_CLASS, proportion, undefined

ALWAYS_PREDICTED = "always predicted"


def operating_point_metrics(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], point: OperatingPoint
) -> dict[str, Any]:
    """Return the sensitivity, specificity and predictive values of calling a class by its threshold.

    Each has its n and Wilson's 95% interval. The predictive values hold for the share of the class in these
    images, and for no other.

    Args:
        labels: N class indices.
        probabilities: N x K.
        classes: names of the K classes.
        point: the class and its threshold.
    """
    k = list(classes).index(point.label)
    positive, called = labels == k, probabilities[:, k] >= point.threshold
    return {
        "class": point.label,
        "target": point.target,
        "at": point.at,
        "threshold": point.threshold,
        "sensitivity": _share(called, positive, ABSENT),
        "specificity": _share(~called, ~positive, ONE_CLASS),
        "ppv": _share(positive, called, NEVER_PREDICTED),
        "npv": _share(~positive, ~called, ALWAYS_PREDICTED),
        "chosen_on_n": point.n,
    }


def _share(of: np.ndarray, among: np.ndarray, reason: str) -> dict[str, Any]:
    n = among.sum()
    return proportion((of & among).sum(), n) if n else undefined(reason)
