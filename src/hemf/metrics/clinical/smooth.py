"""Reliability without bins: accuracy and confidence smoothed by the same Gaussian kernel.

Smoothing both keeps a calibrated model on the diagonal, also at the ends, where smoothing accuracy alone
would pull it off (Blasiok and Nakkiran, "Smooth ECE", ICLR 2024).
"""

from typing import Any

import numpy as np

from hemf.metrics.classification import measure

WIDTH = 0.05  # standard deviation of the kernel, in confidence
PLACES = 15


def kernels(confidence: np.ndarray) -> np.ndarray:
    """Return how much each image counts at each place: places x N.

    Places are quantiles of the confidences, so that images lie around each.
    """
    places = np.unique(np.quantile(confidence, np.linspace(0, 1, PLACES)))
    return np.exp(-0.5 * ((confidence - places[:, None]) / WIDTH) ** 2)


def smooth_reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Return, at each place, the smoothed ``confidence`` and ``accuracy`` (a measure).

    Args:
        labels: N class indices.
        probabilities: N x K.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    return [
        {
            "confidence": float(np.average(confidence, weights=kernel)),
            "accuracy": measure(np.average(right, weights=kernel), len(labels)),
        }
        for kernel in kernels(confidence)
    ]
