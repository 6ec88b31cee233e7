"""Measures as they would be if the classes were as frequent here as where the model was developed."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from hemf.calibration.record import Calibration, OperatingPoint
from hemf.evaluation.external.record import Measure, Prevalence
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, Units, resample, units_of
from hemf.metrics.classification import measure, undefined
from hemf.metrics.intervals import with_interval
from hemf.metrics.resampled import WeightedMeasures

SHOWN = ("accuracy", "f1_macro", "precision_macro", "mcc", "kappa", "log_loss")
"""Measures that change with the shares of the classes."""


def shares_of(labels: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
    """Return the share of each class, in their order; 0 for one that is absent."""
    counts = Counter(labels)
    total = sum(counts[name] for name in classes)
    return {name: counts[name] / total for name in classes}


def class_weights(development: dict[str, float], here: dict[str, float]) -> np.ndarray:
    """Return K weights that give the classes present here the shares they have among themselves elsewhere.

    A class with weight w_k = d_k / h_k counts w_k times, with d and h its shares there and here. One that is
    absent here stays so, whatever its weight, which is 0.
    """
    return np.array([development[name] / here[name] if here[name] else 0.0 for name in development])


def reweighted(
    found: Predictions, own: Calibration, development: dict[str, float], draws: Draws
) -> Prevalence:
    """Measure with the shares of the classes of the development data.

    Args:
        found: predictions of the images of another place.
        own: the model's calibration.
        development: share of each class where the model was developed.
        draws: the bootstrap's.
    """
    here = shares_of([found.classes[k] for k in found.labels], found.classes)
    of_image = class_weights(development, here)[found.labels]
    units = units_of(found.labels, found.groups)
    blocks = [block * of_image[:, None] for block in resample(units, draws)]
    measures = WeightedMeasures(found.labels, found.probabilities)
    once = measures.of_split(of_image[:, None])
    drawn = [measures.of_split(block) for block in blocks]
    every = np.ones(len(of_image), dtype=bool)
    return Prevalence(
        development=development,
        here=here,
        effective_n=float(of_image.sum() ** 2 / (of_image**2).sum()),
        measures={
            name: _measure(float(once[name][0]), [one[name] for one in drawn], units, every) for name in SHOWN
        },
        operating_points=tuple(
            _point(found, point, of_image, blocks, units) for point in own.operating_points
        ),
    )


def _measure(value: float, drawn: list[np.ndarray], units: Units, images: np.ndarray) -> Measure:
    if np.isnan(value):
        return undefined("undefined with these shares", int(images.sum()))
    bare = measure(value, int(images.sum()))
    return with_interval(bare, np.concatenate(drawn), units, images) if drawn else bare


def _point(
    found: Predictions, point: OperatingPoint, of_image: np.ndarray, blocks: list[np.ndarray], units: Units
) -> dict[str, Any]:
    """Return the predictive values of a threshold with other shares of the classes."""
    k = found.classes.index(point.label)
    called, positive = found.probabilities[:, k] >= point.threshold, found.labels == k

    def value(right: np.ndarray, among: np.ndarray) -> Measure:
        drawn = [_ratio((right & among) @ block, among @ block) for block in blocks]
        once = _ratio((right & among) @ of_image, among @ of_image)
        return _measure(float(once), drawn, units, among) if among.any() else undefined("never called")

    head = {"class": point.label, "target": point.target, "at": point.at}
    return head | {"ppv": value(positive, called), "npv": value(~positive, ~called)}


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below != 0)
