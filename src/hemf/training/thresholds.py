"""Operating points: from which probability on a class is called, for a target sensitivity or specificity."""

from typing import Literal

import numpy as np

Target = Literal["sensitivity", "specificity"]


def choose_threshold(target: Target, at: float, positive: np.ndarray, scores: np.ndarray) -> float | None:
    """The threshold t at which calling what scores t or more reaches the target, and the other rate is best.

    For a sensitivity that is the highest such threshold, for a specificity the lowest; each is one of the
    scores.

    Args:
        target: the rate that must reach ``at``.
        at: between 0 and 1.
        positive: N booleans, of both kinds.
        scores: N numbers, larger for the more likely positive.

    Returns:
        The threshold; None where only calling nothing would reach the specificity.
    """
    from sklearn.metrics import roc_curve

    false_rate, true_rate, thresholds = roc_curve(positive, scores, drop_intermediate=False)
    if target == "sensitivity":
        return float(thresholds[np.flatnonzero(true_rate >= at - 1e-12)[0]])
    threshold = thresholds[np.flatnonzero(1 - false_rate >= at - 1e-12)[-1]]
    return float(threshold) if np.isfinite(threshold) else None
