"""Decision curves: whether acting on a model does more good than acting on all patients, or on none.

Vickers and Elkin, "Decision curve analysis", Medical Decision Making 26, 2006. Who acts from a probability of
t on takes a false alarm to be t / (1 - t) as bad as a missed case, so the net benefit is
TP / n - FP / n x t / (1 - t), in true positives per image. Acting on none has 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hemf.metrics.classification import measure

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def benefits(positive: np.ndarray, called: np.ndarray, threshold: float) -> np.ndarray:
    """Return what each of N images adds to the net benefit of acting on those ``called``.

    Args:
        positive: N booleans.
        called: N booleans.
        threshold: probability from which on one acts, between 0 and 1.
    """
    return called * np.where(positive, 1.0, -threshold / (1 - threshold))


def decision_curves(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return the decision curve of each class present against the rest, where there is a rest.

    Args:
        labels: N class indices.
        probabilities: N x K, calibrated: net benefit takes them at their word.
        classes: names of the K classes.

    Returns:
        By class, for each threshold: ``threshold``, ``net_benefit`` (a measure) and ``treat_all``, the net
        benefit of acting on every image.
    """
    n, found = len(labels), {}
    for k, name in enumerate(classes):
        positive = labels == k
        if 0 < positive.sum() < n:
            found[name] = [
                {
                    "threshold": t,
                    "net_benefit": measure(benefits(positive, probabilities[:, k] >= t, t).mean(), n),
                    "treat_all": float(benefits(positive, np.ones(n, bool), t).mean()),
                }
                for t in THRESHOLDS
            ]
    return found
