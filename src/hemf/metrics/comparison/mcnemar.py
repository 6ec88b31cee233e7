"""McNemar's test of two models' accuracies, also where several images show one patient."""

from typing import Any

import numpy as np
from scipy.stats import norm

from hemf.metrics.bootstrap import Units

MOST_EXCHANGED = 10**9  # patients times images of them that two models differ in; seconds of work
FEW = 25  # discordant images below which McNemar's test of independent images is exact


def mcnemar_test(first: np.ndarray, second: np.ndarray, units: Units | None = None) -> dict[str, Any]:
    """Compute McNemar's test of two models' accuracies.

    Of independent images it is exact (binomial) where fewer than 25 are right for one model alone, else by
    chi-squared. Where several images show one patient, it is exact over patients: were the models alike,
    their names might be exchanged in any patient, so p is the share of all such exchanges after which the
    models are at least as many images apart. With one image a patient that is the binomial test. Where that
    would take too long, it is chi-squared with sums by patient (Yang, Sun and Hardin, Statistics in Medicine
    29, 2010).

    Args:
        first: N booleans, which images one model has right.
        second: the same of the other.
        units: patients or lesions of the images; None for independent images.

    Returns:
        ``only_first_right``, ``only_second_right``, ``method`` and ``p``.
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    counts = {"only_first_right": only_first, "only_second_right": only_second}
    if units is not None and units.grouped:
        apart = np.bincount(units.of_image, first.astype(float) - second).astype(int)
        if np.count_nonzero(apart) * np.abs(apart).sum() > MOST_EXCHANGED:
            p = float(2 * norm.sf(abs(apart.sum()) / np.sqrt((apart**2).sum())))
            return counts | {"method": "chi-squared by patient", "p": p}
        return counts | {"method": "exact by patient", "p": _share_as_far_apart(apart)}
    from statsmodels.stats.contingency_tables import mcnemar

    exact = only_first + only_second < FEW
    table = [[int((first & second).sum()), only_first], [only_second, int((~first & ~second).sum())]]
    found = mcnemar(table, exact=exact, correction=False)
    p = float(found.pvalue)  # pyright: ignore[reportAttributeAccessIssue]  # a bunch of keywords
    return counts | {"method": "exact" if exact else "chi-squared", "p": p}


def _share_as_far_apart(apart: np.ndarray) -> float:
    """Return how often whole numbers with signs drawn by a coin have a sum as far from 0 as theirs."""
    numbers = np.abs(apart[apart != 0])
    half = int(numbers.sum())
    chances = np.zeros(2 * half + 1)  # of the sums from -half to half
    chances[half] = 1.0
    for number in numbers:
        chances = (np.roll(chances, number) + np.roll(chances, -number)) / 2
    sums = np.abs(np.arange(-half, half + 1))
    return float(min(1.0, chances[sums >= abs(int(apart.sum()))].sum()))
