"""Operating points: from which probability on a class is called, for a target sensitivity or specificity."""

from typing import Literal

import numpy as np

Target = Literal["sensitivity", "specificity"]


def choose_threshold(target: Target, at: float, positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Choose the threshold t at which calling scores of t or more reaches the target at the best other rate.

    It lies half-way between two scores (or a score and 0), so that the last bits of a score, which another
    batch size can change, do not decide.

    Args:
        target: the rate that must reach ``at``.
        at: above 0, at most 1.
        positive: N booleans, of both kinds.
        scores: N probabilities, larger for the more likely positive.

    Returns:
        The threshold; None where only calling nothing would reach the specificity.
    """
    from sklearn.metrics import roc_curve

    false_rate, true_rate, thresholds = roc_curve(positive, scores, drop_intermediate=False)
    if target == "sensitivity":
        lowest_called = thresholds[np.flatnonzero(true_rate >= at - 1e-12)[0]]
    else:
        lowest_called = thresholds[np.flatnonzero(1 - false_rate >= at - 1e-12)[-1]]
    if np.isinf(lowest_called):
        return None
    return float((lowest_called + max(scores[scores < lowest_called], default=0.0)) / 2)
