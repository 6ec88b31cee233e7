"""Tests how far models differ on the same images, and whether chance alone could explain it.

DeLong's variance of ROC AUC: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; placement values by
midranks, as Sun and Xu, IEEE Signal Processing Letters 21, 2014; where several images show one patient, with
sums by patient in place of images, as Obuchowski, Biometrics 53, 1997.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import norm, rankdata, t

from hemf.core.errors import HemfError
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, Units, resample, units_of
from hemf.metrics.classification import classification_metrics, ranking_scores
from hemf.metrics.intervals import DEFINED, with_intervals
from hemf.metrics.resampled import Values, WeightedMeasures, on_resamples

MOST_EXCHANGED = 10**9  # patients times images of them that two models differ in; seconds of work
FEW = 25  # discordant images below which McNemar's test of independent images is exact


def compare_predictions(
    names: Sequence[str],
    predictions: Sequence[Predictions],
    metrics: Sequence[str],
    draws: Draws,
) -> dict[str, Any]:
    """Compare every pair of models on the same images in the same order.

    The paired bootstrap measures both models of a pair on each resample of patients or lesions (of images
    where none are known); its p is twice the smaller share of resamples on either side of no difference, with
    one added to both, so that it is never zero. Holm's correction goes over the pairs, for each test and
    measure by itself.

    Args:
        names: names of the models.
        predictions: predictions of each model; their paths, labels, groups and classes are the same.
        metrics: measures of the split to compare.
        draws: the bootstrap's.

    Returns:
        ``n``, ``classes``, ``intervals`` (as in ``metrics.json``), ``models`` (each with its measures) and
        ``pairs`` (each with ``bootstrap``, ``mcnemar`` and ``delong``), ready for JSON. A difference is the
        first model's measure less the second's.

    Raises:
        HemfError: fewer than 100 resamples.
    """
    if draws.resamples < 100:
        raise HemfError(
            f"{draws.resamples} resamples are too few for a p-value; give 100 or more, such as 2000"
        )
    labels, classes = predictions[0].labels, predictions[0].classes
    units = units_of(labels, predictions[0].groups)
    reports = [
        with_intervals(classification_metrics(labels, one.probabilities, classes), one, draws)
        for one in predictions
    ]
    models = [
        {"name": name, "metrics": {metric: report["metrics"][metric] for metric in metrics}}
        for name, report in zip(names, reports, strict=True)
    ]
    drawn = [
        on_resamples(WeightedMeasures(labels, one.probabilities), resample(units, draws))[0]
        for one in predictions
    ]
    pairs = []
    for a, b in combinations(range(len(names)), 2):
        first, second = predictions[a], predictions[b]
        of_classes, macro = delong(labels, first.probabilities, second.probabilities, units)
        pairs.append(
            {
                "first": names[a],
                "second": names[b],
                "bootstrap": {m: _difference(models[a], models[b], drawn[a], drawn[b], m) for m in metrics},
                "mcnemar": mcnemar_test(first.decisions == labels, second.decisions == labels, units),
                "delong": {
                    "macro": macro,
                    "per_class": {classes[k]: found for k, found in of_classes.items()},
                },
            }
        )
    _correct(pairs, metrics)
    about = {"n": len(labels), "classes": classes, "intervals": reports[0]["intervals"]}
    return about | {"models": models, "pairs": pairs}


def _difference(
    a: dict[str, Any], b: dict[str, Any], first: Values, second: Values, metric: str
) -> dict[str, Any]:
    """Compare one measure by a paired bootstrap."""
    values = [model["metrics"][metric]["value"] for model in (a, b)]
    if None in values:
        return {"difference": None, "ci95": None, "p": None}
    found = {"difference": values[0] - values[1]}
    differences = first[metric] - second[metric]
    known = differences[~np.isnan(differences)]
    if len(known) < DEFINED * len(differences):
        return found | {"ci95": None, "p": None}
    known[np.abs(known) < 1e-12] = 0.0
    if not known.any():
        same = abs(found["difference"]) < 1e-12
        return found | {"ci95": None, "p": 1.0 if same else None}
    low, high = np.quantile(known, [0.025, 0.975])
    tail = min((known <= 0).sum(), (known >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (len(known) + 1))
    return found | {"ci95": [float(low), float(high)], "p": float(p)}


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
        return dict.fromkeys(("first", "second", "difference", "ci95", "z", "p"))
    found = {"first": float(first[0]), "second": float(second[0]), "difference": float(difference)}
    if error < 1e-12:
        same = abs(difference) < 1e-12
        return found | {"ci95": None, "z": 0.0 if same else None, "p": 1.0 if same else None}
    half, z = chance.ppf(0.975) * error, difference / error
    interval = [float(difference - half), float(difference + half)]
    return found | {"ci95": interval, "z": float(z), "p": float(2 * chance.sf(abs(z)))}


def _correct(pairs: list[dict[str, Any]], metrics: Sequence[str]) -> None:
    """Add ``p_holm`` to every p."""
    for metric in metrics:
        _holm([pair["bootstrap"][metric] for pair in pairs])
    _holm([pair["mcnemar"] for pair in pairs])
    _holm([pair["delong"]["macro"] for pair in pairs])
    for name in pairs[0]["delong"]["per_class"]:
        _holm([pair["delong"]["per_class"][name] for pair in pairs])


def _holm(tests: list[dict[str, Any]]) -> None:
    from statsmodels.stats.multitest import multipletests

    known = [test for test in tests if test["p"] is not None]
    for test in tests:
        test["p_holm"] = None
    if known:
        corrected = np.asarray(multipletests([test["p"] for test in known], method="holm")[1])
        for test, p in zip(known, corrected, strict=True):
            test["p_holm"] = float(p)
