"""Compares models on the same images: every pair, by every test, corrected for the number of pairs."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hemf.core.errors import HemfError
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, Units, resample, units_of
from hemf.metrics.classification import classification_metrics
from hemf.metrics.comparison.delong import UNKNOWN, delong
from hemf.metrics.comparison.holm import holm
from hemf.metrics.comparison.mcnemar import mcnemar_test
from hemf.metrics.comparison.paired import SIDES, Measured, difference, with_seeds
from hemf.metrics.intervals import AVERAGED, with_intervals
from hemf.metrics.resampled import WeightedMeasures, on_resamples


def compare_predictions(
    names: Sequence[str],
    predictions: Sequence[Sequence[Predictions]],
    metrics: Sequence[str],
    draws: Draws,
    margin: float | None = None,
) -> dict[str, Any]:
    """Compare every pair of models on the same images in the same order.

    The paired bootstrap measures both models of a pair on each resample of patients or lesions (of images
    where none are known). Holm's correction goes over the pairs, for each test and measure by itself.

    Args:
        names: names of the models.
        predictions: of each model, its predictions by one seed or several; the paths, labels, groups and
            classes of all are the same.
        metrics: measures of the split to compare.
        draws: the bootstrap's.
        margin: a difference that would not matter, for tests of equivalence; None for none.

    Returns:
        ``n``, ``classes``, ``intervals`` (as in ``metrics.json``), ``models`` (each with its measures) and
        ``pairs`` (each with ``bootstrap``, ``mcnemar`` and ``delong``, which are tests of single runs), ready
        for JSON. A difference is the first model's measure less the second's.

    Raises:
        HemfError: fewer than 100 resamples, or a margin that is not above 0.
    """
    if draws.resamples < 100:
        raise HemfError(
            f"{draws.resamples} resamples are too few for a p-value; give 100 or more, such as 2000"
        )
    if margin is not None and not margin > 0:
        raise HemfError(f"the margin is {margin:g}; give the difference that would not matter, such as 0.02")
    labels, classes = predictions[0][0].labels, predictions[0][0].classes
    units = units_of(labels, predictions[0][0].groups)
    least = min(units.among(labels == k) for k in np.unique(labels))
    in_class = {metric: least if metric in AVERAGED else None for metric in metrics}
    reports = [
        [
            with_intervals(classification_metrics(labels, one.probabilities, classes), one, draws)
            for one in seeds
        ]
        for seeds in predictions
    ]
    measured = [
        _measured(labels, seeds, of_model, metrics, units, draws)
        for seeds, of_model in zip(predictions, reports, strict=True)
    ]
    models = [
        {"name": name, "metrics": _of_model(of_model, ours, units, in_class)}
        for name, of_model, ours in zip(names, reports, measured, strict=True)
    ]
    pairs = []
    for a, b in combinations(range(len(names)), 2):
        found = {
            metric: difference(measured[a][metric], measured[b][metric], units, few, metric, margin)
            for metric, few in in_class.items()
        }
        tests = _of_single_seeds(predictions[a], predictions[b], units)
        pairs.append({"first": names[a], "second": names[b], "bootstrap": found, **tests})
    _correct(pairs, metrics)
    about = {"n": len(labels), "classes": classes, "intervals": reports[0][0]["intervals"], "margin": margin}
    return about | {"models": models, "pairs": pairs}


def _measured(
    labels: np.ndarray,
    seeds: Sequence[Predictions],
    reports: Sequence[dict[str, Any]],
    metrics: Sequence[str],
    units: Units,
    draws: Draws,
) -> dict[str, Measured]:
    """Return each measure of a model, by seed and on the resamples."""
    drawn = [
        on_resamples(WeightedMeasures(labels, one.probabilities), resample(units, draws))[0] for one in seeds
    ]
    return {
        metric: Measured(
            [one["metrics"][metric]["value"] for one in reports],
            np.mean([one[metric] for one in drawn], axis=0),
        )
        for metric in metrics
    }


def _of_model(
    reports: Sequence[dict[str, Any]],
    ours: dict[str, Measured],
    units: Units,
    in_class: dict[str, int | None],
) -> dict[str, Any]:
    """Return a model's measures with their intervals."""
    first = {metric: reports[0]["metrics"][metric] for metric in ours}
    if len(reports) == 1:
        return first
    return {metric: with_seeds(first[metric], one, units, in_class[metric]) for metric, one in ours.items()}


def _of_single_seeds(
    first: Sequence[Predictions], second: Sequence[Predictions], units: Units
) -> dict[str, Any]:
    """Return McNemar's and DeLong's tests, of two trained models; unknown where one is of several seeds."""
    (a, *more), (b, *others) = first, second
    labels, classes = a.labels, a.classes
    if more or others:
        none = dict.fromkeys(("only_first_right", "only_second_right", "method", "p"))
        per_class = {classes[k]: dict(UNKNOWN) for k in np.unique(labels)}
        return {"mcnemar": none, "delong": {"macro": dict(UNKNOWN), "per_class": per_class}}
    of_classes, macro = delong(labels, a.probabilities, b.probabilities, units)
    return {
        "mcnemar": mcnemar_test(a.decisions == labels, b.decisions == labels, units),
        "delong": {"macro": macro, "per_class": {classes[k]: found for k, found in of_classes.items()}},
    }


def _correct(pairs: list[dict[str, Any]], metrics: Sequence[str]) -> None:
    """Add ``p_holm`` to every p."""
    for metric in metrics:
        tests = [pair["bootstrap"][metric] for pair in pairs]
        _holm(tests)
        for side in SIDES:
            _holm([one[side] for one in tests if side in one])
    _holm([pair["mcnemar"] for pair in pairs])
    _holm([pair["delong"]["macro"] for pair in pairs])
    for name in pairs[0]["delong"]["per_class"]:
        _holm([pair["delong"]["per_class"][name] for pair in pairs])


def _holm(tests: list[dict[str, Any]]) -> None:
    known = [test for test in tests if test["p"] is not None]
    for test in tests:
        test["p_holm"] = None
    for test, p in zip(known, holm([test["p"] for test in known]), strict=True):
        test["p_holm"] = p
