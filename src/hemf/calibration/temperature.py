"""Temperature scaling: one number that makes a network's confidence agree with how often it is right."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hemf.core.text import counted

LOWEST, HIGHEST = 0.01, 100.0
FEWEST = 20  # images below which no temperature is kept
WIDEST = 4.0  # upper over lower end of its interval, above which it is not known well enough to be kept
LIKELY = 3.841 / 2  # half the 95% quantile of chi-squared with one degree of freedom


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """Fit the temperature T for which softmax(logits / T) has the smallest log-loss.

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

    if (np.asarray(logits).argmax(1) == labels).all():
        return None
    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(
        _log_loss(logits, labels), bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    return math.exp(found.x)


def temperature_interval(
    logits: np.ndarray, labels: np.ndarray, temperature: float, units: int | None = None
) -> tuple[float, float]:
    """Return the 95% interval of a fitted temperature, by the profile of the likelihood.

    It holds every temperature whose log-likelihood is less than 1.92 below the largest. Where several images
    show one patient, they count together as one image.

    Args:
        logits: N x K.
        labels: N class indices.
        temperature: what ``fit_temperature`` found for them.
        units: number of patients or lesions that the images show; None for one an image.

    Returns:
        Lower and upper end; an end that reaches 0.01 or 100 has no bound that is known.
    """
    from scipy.optimize import brentq

    log_loss, weight = _log_loss(logits, labels), len(labels) if units is None else units
    middle = math.log(temperature)
    least = log_loss(middle)

    def beyond(log_temperature: float) -> float:
        return weight * (log_loss(log_temperature) - least) - LIKELY

    def end(bound: float) -> float:
        if beyond(math.log(bound)) <= 0:
            return bound
        root: Any = brentq(beyond, math.log(bound), middle)  # to SciPy's types a number, or also a report
        return math.exp(root)

    return end(LOWEST), end(HIGHEST)


def why_no_temperature(n: int, temperature: float | None, interval: tuple[float, float] | None) -> str | None:
    """Return why a temperature is not to be kept, in a sentence; None where it is.

    Args:
        n: images that it was fitted on.
        temperature: what ``fit_temperature`` found.
        interval: what ``temperature_interval`` gives for it; None without a temperature.
    """
    if temperature is None or interval is None:
        right = "the image is" if n == 1 else f"all {counted(n, 'image')} are"
        return f"no temperature: {right} classified right, so none says how confident to be"
    if temperature > 0.99 * HIGHEST:
        return f"no temperature: on {counted(n, 'image')} the outputs tell nothing about the class"
    if n < FEWEST:
        too_few = "is" if n == 1 else "are"
        return f"no temperature: {counted(n, 'image')} {too_few} too few to settle it, {FEWEST} are needed"
    low, high = interval
    unbounded = low <= LOWEST or high >= HIGHEST
    if unbounded or high > WIDEST * low:
        reach = f"{low:.2g} to {high:.2g}" + (" or beyond" if unbounded else "")
        return f"no temperature: {counted(n, 'image')} leave it anywhere from {reach}"
    return None


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> Callable[[float], float]:
    """Return the mean log-loss as a function of the logarithm of the temperature."""
    from scipy.special import log_softmax

    logits, images = np.asarray(logits, dtype=np.float64), np.arange(len(labels))

    def log_loss(log_temperature: float) -> float:
        return -log_softmax(logits / math.exp(log_temperature), axis=1)[images, labels].mean()

    return log_loss
