"""Split-conformal prediction sets: as many classes as it takes to hold the right one as often as asked."""

import math

import numpy as np


def enough_images(n: int, coverage: float) -> bool:
    """Say whether ``n`` images can promise ``coverage``: the rank of the quantile must be one of theirs."""
    return math.ceil((n + 1) * (1 - _miscoverage(coverage))) <= n


def conformal_quantile(probabilities: np.ndarray, labels: np.ndarray, coverage: float) -> float:
    """Find the score up to which a class belongs to the prediction set, by MAPIE.

    The score of a class is one minus its probability (LAC: Sadinle, Lei and Wasserman, JASA 114, 2019), and
    the quantile is the ceil((n + 1) coverage)-th smallest score of the true classes of n images. The + 1 is
    the finite-sample correction: for images exchangeable with these the set then holds the true class with a
    probability of at least ``coverage``, and where scores do not tie of at most coverage + 1 / (n + 1).

    Args:
        probabilities: N x K.
        labels: N class indices.
        coverage: between 0 and 1; ``enough_images`` must agree to it.
    """
    from mapie.conformity_scores import LACConformityScore

    lac = LACConformityScore()
    scores = lac.get_conformity_scores(labels, probabilities, y_enc=labels)
    alpha = np.array([_miscoverage(coverage)])
    (quantile,) = lac.get_conformity_score_quantiles(scores, alpha, cv="prefit")
    return float(quantile)


def _miscoverage(coverage: float) -> float:
    return 1 - coverage
