"""Temperature scaling: one number that makes a network's confidence agree with how often it is right."""

import math

import numpy as np

LOWEST, HIGHEST = 0.01, 100.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """The temperature T for which softmax(logits / T) has the smallest log-loss.

    Guo et al., "On calibration of modern neural networks", ICML 2017. The log-loss is convex in 1 / T, so
    there is one minimum; it is sought between 0.01 and 100. A value at the upper end means that the outputs
    tell nothing about the classes of these images.

    Args:
        logits: N x K.
        labels: N class indices.

    Returns:
        T; None where the largest logit of every image is that of its class: the log-loss then falls for ever
        as T goes to 0, and these images cannot tell how confident to be.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits, images = np.asarray(logits, dtype=np.float64), np.arange(len(labels))
    if (logits.argmax(1) == labels).all():
        return None

    def log_loss(log_temperature: float) -> float:
        return -log_softmax(logits / math.exp(log_temperature), axis=1)[images, labels].mean()

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x)
