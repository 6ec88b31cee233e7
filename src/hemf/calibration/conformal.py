"""Split-conformal prediction sets: as many classes as it takes to hold the right one as often as asked.

Images of one patient are not exchangeable with those of others, so where patients are known they are what is
counted (Lee, Barber and Willett, "Distribution-free inference with hierarchical data", 2023).
"""

import math

import numpy as np

ALWAYS = 1.0  # the quantile of a class that is in every set


def enough_units(n: int, coverage: float) -> bool:
    """Say whether ``n`` patients, or independent images, can promise ``coverage``: is there such a rank?"""
    return math.ceil((n + 1) * (1 - _miscoverage(coverage))) <= n


def conformal_quantile(
    probabilities: np.ndarray, labels: np.ndarray, coverage: float, units: np.ndarray | None = None
) -> float:
    """Find the score up to which a class belongs to the prediction set, by MAPIE.

    The score of a class is one minus its probability (LAC: Sadinle, Lei and Wasserman, JASA 114, 2019), and
    the quantile is the ceil((n + 1) coverage)-th smallest score of the true classes of n images. The + 1 is
    the finite-sample correction: for images exchangeable with these the set then holds the true class with a
    probability of at least ``coverage``, and where scores do not tie of at most coverage + 1 / (n + 1). With
    units n is their number, a score weighs one over the number of images of its unit, and the promise is for
    an image of a new unit, drawn among its images (Lee et al., equation 6).

    Args:
        probabilities: N x K.
        labels: N class indices.
        coverage: between 0 and 1; ``enough_units`` must agree to it.
        units: number of the patient or lesion of each image; None for one an image.
    """
    if units is not None and len(np.unique(units)) < len(units):
        _, unit, images = np.unique(units, return_inverse=True, return_counts=True)
        scores = np.append(1 - probabilities[np.arange(len(labels)), labels], np.inf)
        weights, level = np.append(1 / images[unit], 1.0), coverage - 1e-12  # of rounding, at a whole rank
        return float(np.quantile(scores, level, weights=weights, method="inverted_cdf"))
    from mapie.conformity_scores import LACConformityScore

    lac = LACConformityScore()
    scores = lac.get_conformity_scores(labels, probabilities, y_enc=labels)
    alpha = np.array([_miscoverage(coverage)])
    (quantile,) = lac.get_conformity_score_quantiles(scores, alpha, cv="prefit")
    return float(quantile)


def class_quantiles(
    probabilities: np.ndarray, labels: np.ndarray, coverage: float, units: np.ndarray
) -> list[float | None]:
    """Find the quantile of each class by its own images, so that each is held as often as ``coverage`` says.

    Such sets are called class-conditional or Mondrian (Vovk 2012).

    Args:
        probabilities: N x K.
        labels: N class indices.
        coverage: between 0 and 1.
        units: number of the patient or lesion, or else of the image, of each image.

    Returns:
        K quantiles; None for a class with too few units.
    """
    found: list[float | None] = []
    for k in range(probabilities.shape[1]):
        of = labels == k
        enough = enough_units(len(np.unique(units[of])), coverage)
        found.append(
            conformal_quantile(probabilities[of], labels[of], coverage, units[of]) if enough else None
        )
    return found


def _miscoverage(coverage: float) -> float:
    return 1 - coverage
