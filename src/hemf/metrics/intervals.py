"""A 95% interval for every measure of an evaluation.

Proportions of independent images (accuracy, sensitivity, coverage and so on, where no patient or lesion
is known) keep Wilson's interval: at 0 or 1, or on few images, the bootstrap's is too narrow. Everything else
has quantiles of a bootstrap, stratified by class (``bootstrap``): 2.5% and 97.5%, and further out where units
are few. With groups these resample patients or lesions; where a proportion is then 0 or 1, so that all
resamples agree, it has Wilson's interval with its groups counted as single images, on the wide side.

No interval is given, and ``no_interval`` says why, where there are fewer than ten units in all or five of a
class (also for averages over the classes), where all resamples agree, where fewer than 95% of them define
the measure, or where nearly all of them lie on one side of it, so that the quantiles would leave it out.
``benchmarks/interval_coverage.py`` measures how often the intervals hold the truth.
"""

from typing import Any

import numpy as np

from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, Units, resample, tails, units_of
from hemf.metrics.classification import proportion
from hemf.metrics.resampled import WeightedMeasures, on_resamples

FEW = 10  # a class with fewer units: its interval rests on too few draws to be trusted
FEWEST = 10  # units in all, below which an interval of 95% was measured to hold the truth less than 85%
FEWEST_OF_CLASS = 5  # the same of the units of a class
AVERAGED = ("balanced_accuracy", "f1_macro", "precision_macro", "recall_macro", "roc_auc_macro")
AVERAGED += ("average_precision_macro",)  # in all of these a class counts as much as any other
DEFINED = 0.95  # share of the resamples that must define a measure


def with_intervals(report: dict[str, Any], found: Predictions, draws: Draws) -> dict[str, Any]:
    """Give a report's measures their intervals (``ci95``, ``interval``), and say how in ``intervals``.

    Args:
        report: what ``classification_metrics`` gives for these predictions, and maybe more.
        found: the predictions.
        draws: the bootstrap's; without resamples only Wilson's intervals are given.
    """
    labels, classes = found.labels, found.classes
    units = units_of(labels, found.groups)
    in_class = {c: units.among(labels == k) for k, c in enumerate(classes) if (labels == k).any()}
    about = {
        "level": 0.95,
        "method": "bootstrap" if draws.resamples else "wilson",
        "resamples": draws.resamples,
        "seed": draws.seed,
        "unit": "group" if units.grouped and draws.resamples else "image",
        "groups": units.count if units.grouped else None,
        "stratified": True,
        "few_units": {name: n for name, n in in_class.items() if n < FEW},
    }
    if not draws.resamples:
        return report | {"intervals": about}
    measures = WeightedMeasures(labels, found.probabilities)
    of_split, of_classes = on_resamples(measures, resample(units, draws))
    every, least = np.ones(len(labels), dtype=bool), min(in_class.values())
    split = {
        name: with_interval(one, of_split[name], units, every, least if name in AVERAGED else None)
        for name, one in report["metrics"].items()
    }
    per_class = {}
    for k, name in enumerate(classes):
        of, rest = labels == k, labels != k
        rarer = min(of, rest, key=units.among)
        under = {"precision": found.decisions == k, "recall": of, "f1": of, "specificity": rest}
        few = {"precision": of, "recall": of, "f1": of, "specificity": rest}
        own = report["per_class"][name]
        per_class[name] = own | {
            key: with_interval(
                own[key], values, units, under.get(key, rarer), units.among(few.get(key, rarer))
            )
            for key, values in of_classes[k].items()
        }
    return report | {"metrics": split, "per_class": per_class, "intervals": about}


def with_interval(
    measure: dict[str, Any],
    values: np.ndarray,
    units: Units,
    images: np.ndarray,
    in_class: int | None = None,
) -> dict[str, Any]:
    """Return a measure with its interval, or with why it has none.

    Args:
        measure: one that has Wilson's interval is a proportion.
        values: what it is on the resamples.
        units: what was drawn.
        images: mask of the images that it rests on; of a proportion, those that it is taken of.
        in_class: units of the class that it speaks of; of an average over classes, of the rarest.
    """
    value, is_proportion = measure["value"], "ci95" in measure
    if value is None:
        return measure
    if is_proportion and not units.grouped:
        return measure | {"interval": "wilson"}
    bare = {name: one for name, one in measure.items() if name != "ci95"}
    known = values[~np.isnan(values)]
    if is_proportion and value in (0, 1):
        n = units.among(images)
        return bare | {"ci95": proportion(round(value * n), n)["ci95"], "interval": "wilson of groups"}
    if why := why_none(known, len(values), units, in_class):
        return bare | {"no_interval": why}
    low, high = np.quantile(known, tails(units.freedom(images)))
    if not low <= value <= high:
        return bare | {"no_interval": "nearly all resamples lie on one side of the value"}
    return bare | {"ci95": [float(low), float(high)], "interval": "bootstrap"}


def why_none(known: np.ndarray, resamples: int, units: Units, in_class: int | None) -> str | None:
    """Return why the resamples that define a measure tell nothing; None where they do.

    Args:
        known: what it is on these.
        resamples: how many there are in all.
        units: what was drawn.
        in_class: units of the class that it speaks of; of an average over classes, of the rarest.
    """
    if in_class is not None and in_class < FEWEST_OF_CLASS:
        return f"{units.counted(in_class)} of a class {'is' if in_class == 1 else 'are'} too few"
    if len(known) < DEFINED * resamples:
        return f"defined in {len(known)} of {resamples} resamples only"
    if np.ptp(known) < 1e-12:
        return "the same value in all resamples"
    if units.count < FEWEST:
        return f"{units.words} {'is' if units.count == 1 else 'are'} too few, {FEWEST} are needed"
    return None
