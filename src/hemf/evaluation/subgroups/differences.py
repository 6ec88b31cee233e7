"""How much a measure differs between subgroups, with an interval and a test that patients may share.

A subgroup and the other images may hold images of one patient, so both are measured on the same resamples,
which draw patients (or images, where none are known) from all images, whatever their class: a subgroup's mix
of classes is part of what may differ. The standard deviation of the difference over the resamples is its
standard error, and Student's t with the units of the smaller side, less one, gives interval and p.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import t

from hemf.calibration.record import Calibration
from hemf.evaluation.subgroups.record import Difference
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, Units, resample
from hemf.metrics.comparison.holm import holm
from hemf.metrics.resampled import WeightedMeasures

WHOLE = ("accuracy", "balanced_accuracy", "roc_auc_macro")
SENSITIVITY = "sensitivity of "
OVERCONFIDENCE, COVERAGE = "overconfidence", "coverage"
OF_SAME_CLASSES = ("balanced_accuracy", "roc_auc_macro", "f1_macro")
"""Averages over the classes present, which compare only where the same classes are."""
MOST_RESAMPLES = 500
"""They settle a standard error to some 3%."""
FEWEST = 5  # units of a side, below which its spread is not known
DEFINED = 0.95  # share of the resamples that must define a difference


@dataclass(frozen=True)
class Values:
    """Measures of some of the images.

    Args:
        classes: the classes present.
        estimates: each measure; NaN where it is undefined.
        drawn: R values of each on resamples.
        units: patients, lesions or images that each rests on.
    """

    classes: tuple[str, ...]
    estimates: dict[str, float]
    drawn: dict[str, np.ndarray]
    units: dict[str, int]


class Part:
    """Some of the images, to be measured on resamples of all.

    Args:
        found: predictions of all N images.
        own: the model's calibration.
        images: N booleans: which of them.
    """

    def __init__(self, found: Predictions, own: Calibration, images: np.ndarray) -> None:
        self.images, self.names = images, found.classes
        self.labels, probabilities = found.labels[images], found.probabilities[images]
        self.measures = WeightedMeasures(self.labels, probabilities)
        self.means = {OVERCONFIDENCE: probabilities.max(1) - (probabilities.argmax(1) == self.labels)}
        if own.sets is not None:
            holds = own.sets.hold(probabilities)[np.arange(len(self.labels)), self.labels]
            self.means[COVERAGE] = holds.astype(np.float64)

    def on(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return R values of each measure, NaN where undefined, for N x R weights of all images."""
        here = weights[self.images]
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold none of these images
            of_classes = self.measures.of_classes(here)
            of_split = self.measures.of_split(here, of_classes)
            means = {name: of_image @ here / here.sum(0) for name, of_image in self.means.items()}
        present = {SENSITIVITY + self.names[k]: of_classes[int(k)]["recall"] for k in self.measures.present}
        return {name: of_split[name] for name in WHOLE} | present | means

    def units_of(self, units: Units) -> dict[str, int]:
        """Return the units that each measure rests on."""
        every = units.among(self.images)
        counts = dict.fromkeys([*WHOLE, *self.means], every)
        for k in self.measures.present:
            of_class = self.images.copy()
            of_class[self.images] = self.labels == k
            counts[SENSITIVITY + self.names[k]] = units.among(of_class)
        return counts


def values_of(parts: Sequence[Part], units: Units, draws: Draws) -> list[Values]:
    """Measure parts of the images, as they are and on resamples of all images.

    Args:
        parts: the parts.
        units: what is drawn, of all images.
        draws: how often, at most 500 times.
    """
    together = Units(units.of_image, [np.arange(units.count)], units.grouped)
    blocks = list(resample(together, Draws(min(draws.resamples, MOST_RESAMPLES), draws.seed)))
    once = np.ones((len(units.of_image), 1))
    found = []
    for part in parts:
        drawn = [part.on(block) for block in blocks]
        joined = {name: np.concatenate([one[name] for one in drawn]) for name in drawn[0]} if drawn else {}
        estimates = {name: float(value[0]) for name, value in part.on(once).items()}
        classes = tuple(part.names[k] for k in part.measures.present)
        found.append(Values(classes, estimates, joined, part.units_of(units)))
    return found


def differences(
    column: str, value: str, other: str | None, here: Values, there: Values, names: Sequence[str]
) -> list[Difference]:
    """Return the differences of two parts that share no image, not yet corrected for their number."""
    return [
        Difference(column, value, other, name, **_difference(name, here, there))
        for name in names
        if name in here.estimates
    ]


def _difference(name: str, here: Values, there: Values) -> dict[str, Any]:
    difference = here.estimates[name] - there.estimates.get(name, np.nan)
    if np.isnan(difference):
        return {"reason": "undefined on one side"}
    if name in OF_SAME_CLASSES and here.classes != there.classes:
        return {"reason": "averages over different classes"}
    known = {"difference": difference}
    if not here.drawn:
        return known | {"reason": "no resamples"}
    fewest = min(here.units[name], there.units[name])
    drawn = here.drawn[name] - there.drawn[name]
    drawn = drawn[~np.isnan(drawn)]
    if fewest < FEWEST or len(drawn) < DEFINED * len(here.drawn[name]):
        return known | {"reason": "too few on one side"}
    if min(np.nanstd(side.drawn[name]) for side in (here, there)) < 1e-12:
        return known | {"reason": "the same value in all resamples of one side"}
    error, freedom = float(drawn.std(ddof=1)), fewest - 1
    reach = float(t.ppf(0.975, freedom)) * error
    p = float(2 * t.sf(abs(difference) / error, freedom))
    return known | {"ci95": (difference - reach, difference + reach), "p": p}


def corrected(found: Sequence[Difference]) -> tuple[Difference, ...]:
    """Return differences with Holm's correction, of each measure over all its tests among them."""
    p_holm: dict[int, float] = {}
    for name in dict.fromkeys(one.measure for one in found):
        tests = {i: one.p for i, one in enumerate(found) if one.measure == name and one.p is not None}
        p_holm |= dict(zip(tests.keys(), holm([*tests.values()]), strict=True))
    return tuple(replace(one, p_holm=p_holm.get(i)) for i, one in enumerate(found))
