"""DeLong's test of two ROC AUCs on the same images, also where several images show one patient.

The variance: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; placement values by midranks, as Sun and
Xu, IEEE Signal Processing Letters 21, 2014; where several images show one patient, with sums by patient in
place of images, as Obuchowski, Biometrics 53, 1997.
"""

from typing import Any

import numpy as np
from scipy.stats import norm, rankdata, t

from hemf.metrics.bootstrap import Units
from hemf.metrics.classification import ranking_scores

UNKNOWN: dict[str, Any] = dict.fromkeys(("first", "second", "difference", "ci95", "z", "p"))


def auc_parts(
    positive: np.ndarray, scores: np.ndarray, units: Units | None = None
) -> tuple[float, np.ndarray]:
    """Return ROC AUC and what each image, or each unit, contributes to its error.

    The sum of squares of the contributions is DeLong's variance, and for two models on the same images the
    sum of their products is the covariance: V10 / m and V01 / n about their means, each with the correction
    of a sample variance. With units these are summed by unit, and the corrections go by the number of units
    that have a positive and of those that have a negative image (Obuchowski 1997, section 2, but for the
    correction of the cross term, which here is the geometric mean of the two).

    Args:
        positive: N booleans.
        scores: N, higher for positive.
        units: patients or lesions of the images; None for independent images.

    Returns:
        AUC, and N contributions or one of each unit; NaN where there are fewer than two images, or units with
        such images, of either kind.
    """
    of_image = np.arange(len(scores)) if units is None else units.of_image
    m, n = int(positive.sum()), int((~positive).sum())
    several = [len(np.unique(of_image[kind])) for kind in (positive, ~positive)]
    if min(several) < 2:
        return np.nan, np.full(of_image.max() + 1, np.nan)
    ranks, above, below = rankdata(scores), scores[positive], scores[~positive]
    v10 = (ranks[positive] - rankdata(above)) / n
    v01 = 1 - (ranks[~positive] - rankdata(below)) / m
    auc, parts = v10.mean(), np.empty(len(scores))
    corrections = [np.sqrt(number / (number - 1)) for number in several]
    parts[positive] = (v10 - auc) / m * corrections[0]
    parts[~positive] = (v01 - auc) / n * corrections[1]
    return float(auc), np.bincount(of_image, parts)


def delong(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, units: Units | None = None
) -> tuple[dict[int, dict[str, float | None]], dict[str, float | None]]:
    """Compute DeLong's test of the difference in ROC AUC of two models on the same images.

    Where several images show one patient, the difference over its error is taken for Student's t with one
    degree of freedom less than there are patients, else for normal.

    Args:
        labels: N class indices.
        first: N x K probabilities of one model.
        second: N x K of the other.
        units: patients or lesions of the images; None for independent images.

    Returns:
        For each class present against the rest, and for the mean over these classes (macro): ``first`` and
        ``second`` AUC, their ``difference``, its ``ci95``, ``z`` and two-sided ``p``; None where undefined,
        as with a single image of a class. In the macro the covariance between classes comes from the same
        images.
    """
    units = units if units is not None and units.grouped else None
    scores = [ranking_scores(one) for one in (first, second)]
    classes = {
        int(k): [auc_parts(labels == k, one[:, k], units) for one in scores] for k in np.unique(labels)
    }
    mean = [
        (
            float(np.mean([found[i][0] for found in classes.values()])),
            np.mean([f[i][1] for f in classes.values()], 0),
        )
        for i in range(2)
    ]
    chance = norm if units is None else t(max(units.count - 1, 1))
    return {k: _tested(a, b, chance) for k, (a, b) in classes.items()}, _tested(mean[0], mean[1], chance)


def _tested(
    first: tuple[float, np.ndarray], second: tuple[float, np.ndarray], chance: Any
) -> dict[str, float | None]:
    difference, error = first[0] - second[0], float(np.sqrt(((first[1] - second[1]) ** 2).sum()))
    if np.isnan(error):
        return dict(UNKNOWN)
    found = {"first": float(first[0]), "second": float(second[0]), "difference": float(difference)}
    if error < 1e-12:
        same = abs(difference) < 1e-12
        return found | {"ci95": None, "z": 0.0 if same else None, "p": 1.0 if same else None}
    half, z = chance.ppf(0.975) * error, difference / error
    interval = [float(difference - half), float(difference + half)]
    return found | {"ci95": interval, "z": float(z), "p": float(2 * chance.sf(abs(z)))}
