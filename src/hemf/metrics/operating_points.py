"""Measures, as clinicians ask, what a threshold chosen on validation images does on others."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hemf.calibration.record import OperatingPoint
from hemf.metrics.classification import ABSENT, NEVER_PREDICTED, ONE_CLASS, measure, proportion, undefined

ALWAYS_PREDICTED = "always predicted"


def operating_point_metrics(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], point: OperatingPoint
) -> dict[str, Any]:
    """Return rates, predictive values and likelihood ratios of calling a class by its threshold.

    Each but the ratios has its n and Wilson's 95% interval. The predictive values hold for the share of the
    class in these images, and for no other.

    Args:
        labels: N class indices.
        probabilities: N x K.
        classes: names of the K classes.
        point: the class and its threshold.
    """
    k = list(classes).index(point.label)
    positive, called = labels == k, probabilities[:, k] >= point.threshold
    rates = {
        "sensitivity": _share(called, positive, ABSENT),
        "specificity": _share(~called, ~positive, ONE_CLASS),
    }
    return {
        "class": point.label,
        "target": point.target,
        "at": point.at,
        "threshold": point.threshold,
        **rates,
        "ppv": _share(positive, called, NEVER_PREDICTED),
        "npv": _share(~positive, ~called, ALWAYS_PREDICTED),
        **_ratios(rates["sensitivity"], rates["specificity"], len(labels)),
        "chosen_on_n": point.n,
    }


def likelihood_ratios(sensitivity: np.ndarray, specificity: np.ndarray) -> dict[str, np.ndarray]:
    """Return by how much being called, or not being called, multiplies the odds of the class.

    Args:
        sensitivity: R values.
        specificity: R values.

    Returns:
        ``lr_positive``, sensitivity / (1 - specificity), and ``lr_negative``, (1 - sensitivity) /
        specificity: R values each, NaN where that divides by 0.
    """
    false, true = 1 - specificity, np.array(specificity, float)
    return {
        "lr_positive": np.divide(
            sensitivity, false, out=np.full(np.shape(false), np.nan), where=false > 1e-12
        ),
        "lr_negative": np.divide(
            1 - sensitivity, true, out=np.full(np.shape(true), np.nan), where=true > 1e-12
        ),
    }


def _ratios(sensitivity: dict[str, Any], specificity: dict[str, Any], n: int) -> dict[str, Any]:
    if sensitivity["value"] is None or specificity["value"] is None:
        reason = sensitivity.get("reason") or specificity["reason"]
        return dict.fromkeys(("lr_positive", "lr_negative"), undefined(reason))
    rates = (np.array([one["value"]]) for one in (sensitivity, specificity))
    why = {"lr_positive": "no other image is called it", "lr_negative": "every other image is called it"}
    return {
        name: undefined(why[name], n) if np.isnan(value[0]) else measure(value[0], n)
        for name, value in likelihood_ratios(*rates).items()
    }


def _share(of: np.ndarray, among: np.ndarray, reason: str) -> dict[str, Any]:
    n = among.sum()
    return proportion((of & among).sum(), n) if n else undefined(reason)
