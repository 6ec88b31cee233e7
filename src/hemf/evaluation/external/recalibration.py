"""What recalibration on labelled cases of a new place would gain, measured on cases it was not fitted on.

With z the logarithms of the model's probabilities, the three ways are softmax(z / T) (a temperature),
softmax(z + b) (an intercept for each class but the most frequent, as other shares of the classes ask for) and
softmax(a z + b) (slope and intercept; of two classes Cox's recalibration, Biometrika 45, 1958). Weak normal
priors (standard deviation 1 for log a, 2 for b) keep a few cases that are all right from sending them off.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.model_selection import StratifiedGroupKFold

from hemf.evaluation.external.record import Recalibrated, Recalibration
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, Units, resample, units_of
from hemf.metrics.calibration import confidence_metrics
from hemf.metrics.classification import log_loss_of, measure
from hemf.metrics.intervals import with_interval

WAYS = {"temperature": (True, False), "intercept": (False, True), "slope and intercept": (True, True)}
"""Whether each way fits a slope, and intercepts."""
FOLDS = 5
FEWEST = 40  # units below which nothing is said: five folds of eight tell nothing
SIZES = (20, 50, 100, 200)
"""Labelled units of which it is tried what they gain."""
REPEATS = 20
SD_SLOPE, SD_INTERCEPT = 1.0, 2.0


@dataclass(frozen=True)
class Parameters:
    """A recalibration: ``softmax(slope * z + intercepts)``.

    Args:
        slope: a number.
        intercepts: K numbers.
    """

    slope: float
    intercepts: np.ndarray

    def applied(self, logs: np.ndarray) -> np.ndarray:
        """Return N x K probabilities for N x K logarithms of probabilities."""
        return np.exp(log_softmax(self.slope * logs + self.intercepts, axis=1))


def fit_parameters(logs: np.ndarray, labels: np.ndarray, way: str) -> Parameters:
    """Fit a recalibration by maximum likelihood under the weak priors above.

    Args:
        logs: N x K, logarithms of the model's probabilities.
        labels: N class indices.
        way: one of ``WAYS``.
    """
    has_slope, has_intercepts = WAYS[way]
    n, k = logs.shape
    counts = np.bincount(labels, minlength=k)
    free = np.flatnonzero((counts > 0) & (np.arange(k) != counts.argmax())) if has_intercepts else []
    truth = np.eye(k)[labels]

    def unpacked(values: np.ndarray) -> Parameters:
        intercepts = np.zeros(k)
        intercepts[free] = values[has_slope:]
        return Parameters(float(np.exp(values[0])) if has_slope else 1.0, intercepts)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        found = unpacked(values)
        of_classes = log_softmax(found.slope * logs + found.intercepts, axis=1)
        error = np.exp(of_classes) - truth
        gradient = error.sum(0)[free] + found.intercepts[free] / SD_INTERCEPT**2
        penalty = (found.intercepts**2).sum() / SD_INTERCEPT**2
        if has_slope:
            gradient = np.r_[(error * logs).sum() * found.slope + values[0] / SD_SLOPE**2, gradient]
            penalty += (values[0] / SD_SLOPE) ** 2
        return -of_classes[np.arange(n), labels].sum() + penalty / 2, gradient

    start = np.zeros(int(has_slope) + len(free))
    return unpacked(minimize(loss, start, jac=True, method="L-BFGS-B").x if len(start) else start)


def recalibrate(found: Predictions, draws: Draws) -> Recalibration | None:
    """Measure what each way of recalibration gains; None for fewer than 40 units or a single class.

    Each image is predicted by parameters that were fitted without its patient or lesion, in five folds. The
    gain's interval is over units, with the parameters of the folds as they are.

    Args:
        found: predictions of the images of another place.
        draws: the bootstrap's; its seed also deals out the folds.
    """
    labels, units = found.labels, units_of(found.labels, found.groups)
    if units.count < FEWEST or len(np.unique(labels)) < 2:
        return None
    logs = np.log(np.clip(found.probabilities, np.finfo(np.float64).tiny, 1))
    before = confidence_metrics(labels, found.probabilities)
    blocks = list(resample(units, draws))
    ways = [_way(way, logs, found, units, blocks, draws.seed) for way in WAYS]
    return Recalibration(before["log_loss"]["value"], before["ece"]["value"], FOLDS, tuple(ways))


def _way(
    way: str, logs: np.ndarray, found: Predictions, units: Units, blocks: list[np.ndarray], seed: int
) -> Recalibrated:
    labels, every = found.labels, np.ones(len(found.labels), dtype=bool)
    fitted = fit_parameters(logs, labels, way)
    crossed = _cross_fitted(way, logs, labels, units, seed)
    after = confidence_metrics(labels, crossed)
    of_image = log_loss_of(labels, found.probabilities) - log_loss_of(labels, crossed)
    gain = measure(of_image.mean(), len(labels))
    if blocks:
        drawn = np.concatenate([of_image @ block / block.sum(0) for block in blocks])
        gain = with_interval(gain, drawn, units, every)
    return Recalibrated(
        method=way,
        slope=fitted.slope,
        intercepts=dict(zip(found.classes, fitted.intercepts.tolist(), strict=True)),
        log_loss=after["log_loss"]["value"],
        ece=after["ece"]["value"],
        accuracy=float((crossed.argmax(1) == labels).mean()),
        gain=gain,
        few=tuple(
            _with_few(size, way, logs, found, units, seed) for size in SIZES if 2 * size <= units.count
        ),
    )


def _cross_fitted(way: str, logs: np.ndarray, labels: np.ndarray, units: Units, seed: int) -> np.ndarray:
    """Return N x K probabilities, each image's by parameters fitted on the folds without its unit."""
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    probabilities = np.empty_like(logs)
    for others, here in folds.split(logs, labels, units.of_image):
        probabilities[here] = fit_parameters(logs[others], labels[others], way).applied(logs[here])
    return probabilities


def _with_few(
    size: int, way: str, logs: np.ndarray, found: Predictions, units: Units, seed: int
) -> dict[str, float]:
    """Return what so many labelled units gain on the images of all others, over repeated draws."""
    labels, random = found.labels, np.random.default_rng([seed, size])
    before = log_loss_of(labels, found.probabilities)
    gains = []
    for _ in range(REPEATS):
        chosen = np.isin(units.of_image, random.choice(units.count, size, replace=False))
        after = fit_parameters(logs[chosen], labels[chosen], way).applied(logs[~chosen])
        gains.append((before[~chosen] - log_loss_of(labels[~chosen], after)).mean())
    low, high = np.quantile(gains, [0.1, 0.9])
    return {"units": size, "gain": float(np.mean(gains)), "low": float(low), "high": float(high)}
