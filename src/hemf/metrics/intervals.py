"""A 95% interval for every measure of an evaluation.

Proportions of independent images (accuracy, sensitivity, coverage and so on, where no patient or lesion
is known) keep Wilson's interval: at 0 or 1, or on few images, the bootstrap's is too narrow. Everything else
has the 2.5% and 97.5% quantiles of a bootstrap, stratified by class (``resampling``). With groups these
resample patients or lesions; where a proportion is then 0 or 1, so that all resamples agree, it has Wilson's
interval with its groups counted as single images, which errs on the wide side.

No interval is given, and ``no_interval`` says why, where all resamples agree, where fewer than 95% of them
define the measure, where a class has a single unit, where there are fewer than five units in all, or where
nearly all resamples lie on one side of the measure, so that the quantiles would leave it out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hemf.metrics.bootstrap import Units, check_draws, resample, units_of
from hemf.metrics.classification import proportion
from hemf.metrics.resampled import WeightedMeasures, on_resamples

RESAMPLES = 2000
FEW = 10  # a class with fewer units: its interval rests on too few draws to be trusted
FEWEST = 5  # units in all, below which a bootstrap has too few different resamples for quantiles
DEFINED = 0.95  # share of the resamples that must define a measure


def add_intervals(
    report: dict[str, Any],
    labels: np.ndarray,
    probabilities: np.ndarray,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> None:
    """Give every measure of ``report`` its interval (``ci95``, ``interval``), and say how in ``intervals``.

    Args:
        report: what ``classification_metrics`` gives for these labels and probabilities; it is changed.
        labels: N class indices.
        probabilities: N x K.
        groups: patient or lesion of each image, empty where unknown.
        resamples: number of bootstrap resamples; 0 leaves Wilson's intervals alone.
        seed: of the resamples.

    Raises:
        HemfError: a negative number of resamples, or a negative seed.
    """
    check_draws(resamples, seed)
    units, classes = units_of(labels, groups), report["classes"]
    in_class = {c: units.among(labels == k) for k, c in enumerate(classes) if (labels == k).any()}
    report["intervals"] = {
        "level": 0.95,
        "method": "bootstrap" if resamples else "wilson",
        "resamples": resamples,
        "seed": seed,
        "unit": "group" if units.grouped and resamples else "image",
        "groups": units.count if units.grouped else None,
        "stratified": True,
        "few_units": {name: n for name, n in in_class.items() if n < FEW},
    }
    if not resamples:
        return
    split, of_classes = on_resamples(
        WeightedMeasures(labels, probabilities), resample(units, resamples, seed)
    )
    predictions = probabilities.argmax(1)
    for name, values in split.items():
        give_interval(report["metrics"][name], values, units, np.ones(len(labels), dtype=bool))
    for k, values in of_classes.items():
        measures = report["per_class"][classes[k]]
        under = {"precision": predictions == k, "recall": labels == k, "specificity": labels != k}
        for name, one in values.items():
            single = in_class.get(classes[k]) == 1 and name != "specificity"
            give_interval(measures[name], one, units, under.get(name), single)


def give_interval(
    measure: dict[str, Any], values: np.ndarray, units: Units, images: np.ndarray | None, single: bool = False
) -> None:
    """Give one measure its interval, or say why it has none.

    Args:
        measure: it is changed; one that has Wilson's interval is a proportion.
        values: what it is on the resamples.
        units: what was drawn.
        images: mask of the images that a proportion is taken of.
        single: whether its class has a single unit.
    """
    if measure["value"] is None:
        return
    is_proportion = "ci95" in measure
    if is_proportion and not units.grouped:
        measure["interval"] = "wilson"
        return
    measure.pop("ci95", None)
    known = values[~np.isnan(values)]
    if is_proportion and measure["value"] in (0, 1):
        n = units.among(images)
        measure |= {
            "ci95": proportion(round(measure["value"] * n), n)["ci95"],
            "interval": "wilson of groups",
        }
    elif single:
        measure["no_interval"] = "a single patient or lesion" if units.grouped else "a single image"
    elif len(known) < DEFINED * len(values):
        measure["no_interval"] = f"defined in {len(known)} of {len(values)} resamples only"
    elif np.ptp(known) < 1e-12:
        measure["no_interval"] = "the same value in all resamples"
    elif units.count < FEWEST:
        measure["no_interval"] = f"{units.words} {'is' if units.count == 1 else 'are'} too few to draw from"
    else:
        low, high = np.quantile(known, [0.025, 0.975])
        if low <= measure["value"] <= high:
            measure |= {"ci95": [float(low), float(high)], "interval": "bootstrap"}
        else:
            measure["no_interval"] = "nearly all resamples lie on one side of the value"
