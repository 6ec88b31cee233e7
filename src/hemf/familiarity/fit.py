"""Fits a model's out-of-distribution score to what it sees in its training and validation images."""

import math
from typing import Any

import numpy as np

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.familiarity.record import Familiarity, Seen, length

KEPT = 0.95
"""Share of the features' variance that the subspace keeps; chosen by benchmarks/familiarity.py."""
FALSE_ALARMS = 0.05
FEWEST = 20
"""Training images that a subspace is fitted to."""


def fit_familiarity(
    training: Seen, validation: Seen, fitted_on: dict[str, Any], false_alarms: float = FALSE_ALARMS
) -> Familiarity:
    """Fit the subspace and the looks to training images, and the limits to others.

    Both distances are made comparable by the quantile of the training images, and the limit of the larger is
    the split-conformal quantile of images that the model was not trained on: of further images like these at
    most ``false_alarms`` exceed it on average, if images are independent.

    Args:
        training: of the training images.
        validation: of images that the model was not trained on.
        fitted_on: ``data``, ``split`` and other things to keep with it; ``train`` and ``n`` are added.
        false_alarms: the share.

    Raises:
        HemfError: there are too few images for it, the share is none, or images do not vary.
    """
    rank = check_enough(len(training.features), len(validation.features), false_alarms)
    mean = training.features.mean(0, dtype=np.float64)
    basis = _main_directions(training.features - mean)
    look_mean, look_scale = training.looks.mean(0, dtype=np.float64), _whitening(training.looks)

    def distances(seen: Seen) -> np.ndarray:
        centred = seen.features - mean
        return np.stack(
            [length(centred - centred @ basis @ basis.T), length((seen.looks - look_mean) @ look_scale)]
        )

    units = np.quantile(distances(training), 1 - false_alarms, axis=1)
    if not (np.isfinite(units).all() and (units > 0).all()):
        raise HemfError("what the model sees does not vary from image to image, so nothing can be unlike it")
    limit = np.sort((distances(validation) / units[:, None]).max(0))[rank - 1]
    numbers = {"train": len(training.features), "n": len(validation.features)}
    return Familiarity(
        mean.astype(np.float32),
        basis.astype(np.float32),
        look_mean.astype(np.float32),
        (look_scale / (units[1] * limit)).astype(np.float32),
        float(units[0] * limit),
        false_alarms,
        fitted_on | numbers,
    )


def check_enough(training: int, n: int, false_alarms: float) -> int:
    """Return the rank of the limit among ``n`` images.

    Raises:
        HemfError: there are too few, or the share is none.
    """
    if not 0 < false_alarms < 1:
        raise HemfError(f"--false-alarms is {false_alarms}; give a share between 0 and 1, such as 0.05")
    rank = math.ceil((n + 1) * (1 - false_alarms) - 1e-9)
    if training < FEWEST or rank > n:
        least = math.ceil(1 / false_alarms - 1e-9) - 1
        raise HemfError(
            f"{counted(training, 'training image')} and {n} others are too few to tell what is unlike them "
            f"with {false_alarms:.0%} false alarms; at least {FEWEST} and {least} are needed"
        )
    return rank


def _whitening(looks: np.ndarray) -> np.ndarray:
    """Return what gives looks unit variance in all directions, S x S."""
    from sklearn.covariance import LedoitWolf

    variances, directions = np.linalg.eigh(LedoitWolf().fit(looks).covariance_)
    return directions / np.sqrt(np.maximum(variances, 1e-6))


def _main_directions(centred: np.ndarray) -> np.ndarray:
    """Return the fewest principal directions, D x d, that hold ``KEPT`` of the variance; one at least."""
    variances, directions = np.linalg.eigh(centred.T @ centred)
    held = np.cumsum(variances[::-1]) / max(variances.sum(), np.finfo(float).tiny)
    count = min(int((held < KEPT).sum()) + 1, len(held) - 1)
    return directions[:, ::-1][:, : max(count, 1)]
