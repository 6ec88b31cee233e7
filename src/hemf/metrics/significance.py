"""Tests how far models differ on the same images, and whether chance alone could explain it.

DeLong's variance of ROC AUC: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; placement values by
midranks, as Sun and Xu, IEEE Signal Processing Letters 21, 2014. Images are taken as independent.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import norm, rankdata

from hemf.core.errors import HemfError
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, resample, units_of
from hemf.metrics.classification import classification_metrics, ranking_scores
from hemf.metrics.intervals import DEFINED, with_intervals
from hemf.metrics.resampled import Values, WeightedMeasures, on_resamples

FEW = 25  # discordant images below which McNemar's test is exact


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
        of_classes, macro = delong(labels, first.probabilities, second.probabilities)
        pairs.append(
            {
                "first": names[a],
                "second": names[b],
                "bootstrap": {m: _difference(models[a], models[b], drawn[a], drawn[b], m) for m in metrics},
                "mcnemar": mcnemar_test(first.decisions == labels, second.decisions == labels),
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


def mcnemar_test(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Compute McNemar's test of two models' accuracies, given which images each has right (N booleans).

    It is exact (binomial) where fewer than 25 images are right for one model alone, else by chi-squared.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    exact = only_first + only_second < FEW
    table = [[int((first & second).sum()), only_first], [only_second, int((~first & ~second).sum())]]
    found = mcnemar(table, exact=exact, correction=False)
    return {
        "only_first_right": only_first,
        "only_second_right": only_second,
        "method": "exact" if exact else "chi-squared",
        "p": float(found.pvalue),  # pyright: ignore[reportAttributeAccessIssue]  # a bunch of keywords
    }


def auc_parts(positive: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Return ROC AUC and what each image contributes to its error.

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
    """Compute DeLong's test of the difference in ROC AUC of two models on the same images.

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
            float(np.mean([found[i][0] for found in classes.values()])),
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
