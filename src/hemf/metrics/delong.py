"""DeLong's variance of ROC AUC, for one class against the rest and for the mean over classes.

DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; placement values by midranks, as Sun and Xu, IEEE
Signal Processing Letters 21, 2014. Images are taken as independent.
"""

import numpy as np
from scipy.stats import norm, rankdata

from hemf.metrics.classification import ranking_scores


def auc_parts(positive: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """ROC AUC and what each image contributes to its error.

    The sum of squares of the contributions is DeLong's variance, and for two models on the same images the
    sum of their products is the covariance: V10 / m and V01 / n about their means, each with the correction
    of a sample variance.

    Args:
        positive: N booleans.
        scores: N, higher for positive.

    Returns:
        AUC, and N contributions; NaN where there are fewer than two images of either kind.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        return np.nan, np.full(len(scores), np.nan)
    ranks, above, below = rankdata(scores), scores[positive], scores[~positive]
    v10 = (ranks[positive] - rankdata(above)) / n
    v01 = 1 - (ranks[~positive] - rankdata(below)) / m
    auc, parts = v10.mean(), np.empty(len(scores))
    parts[positive] = (v10 - auc) / np.sqrt(m * (m - 1))
    parts[~positive] = (v01 - auc) / np.sqrt(n * (n - 1))
    return float(auc), parts


def delong(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[dict[int, dict[str, float | None]], dict[str, float | None]]:
    """DeLong's test of the difference in ROC AUC of two models on the same images.

    Args:
        labels: N class indices.
        first: N x K probabilities of one model.
        second: N x K of the other.

    Returns:
        For each class present against the rest, and for the mean over these classes (macro): ``first`` and
        ``second`` AUC, their ``difference``, its ``ci95``, ``z`` and two-sided ``p``; None where undefined,
        as with a single image of a class. In the macro the covariance between classes comes from the same
        images.
    """
    scores = [ranking_scores(one) for one in (first, second)]
    classes = {int(k): [auc_parts(labels == k, one[:, k]) for one in scores] for k in np.unique(labels)}
    mean = [
        (
            np.mean([found[i][0] for found in classes.values()]),
            np.mean([f[i][1] for f in classes.values()], 0),
        )
        for i in range(2)
    ]
    return {k: _tested(*found) for k, found in classes.items()}, _tested(*mean)


def _tested(first: tuple[float, np.ndarray], second: tuple[float, np.ndarray]) -> dict[str, float | None]:
    difference, error = first[0] - second[0], float(np.sqrt(((first[1] - second[1]) ** 2).sum()))
    if np.isnan(error):
        return dict.fromkeys(("first", "second", "difference", "ci95", "z", "p"))
    found = {"first": float(first[0]), "second": float(second[0]), "difference": float(difference)}
    if error < 1e-12:
        same = abs(difference) < 1e-12
        return found | {"ci95": None, "z": 0.0 if same else None, "p": 1.0 if same else None}
    half, z = norm.ppf(0.975) * error, difference / error
    interval = [float(difference - half), float(difference + half)]
    return found | {"ci95": interval, "z": float(z), "p": float(2 * norm.sf(abs(z)))}
