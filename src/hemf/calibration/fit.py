"""Fits a model's calibration on images that it was not trained on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hemf.calibration.conformal import ALWAYS, class_quantiles, conformal_quantile, enough_units
from hemf.calibration.record import Calibration, OperatingPoint, PredictionSets
from hemf.calibration.temperature import fit_temperature, temperature_interval, why_no_temperature
from hemf.calibration.thresholds import Target, choose_threshold
from hemf.config.options import TTA
from hemf.core.errors import HemfError
from hemf.core.registry import Registry
from hemf.core.text import counted, patients
from hemf.data.dataset import DataSet, Sample
from hemf.tasks import MULTICLASS

Rates = float | Sequence[float] | Mapping[Any, float] | None


def describe(
    data: DataSet,
    samples: Sequence[Sample],
    split: str,
    chose_checkpoint: bool,
    apart: bool = False,
    tta: TTA = "none",
) -> dict[str, Any]:
    """Describe the images that a calibration was fitted on: ``fitted_on`` of a ``Calibration``."""
    groups = {s.group for s in samples}
    return {
        "data": data.name,
        "data_hash": data.hash,
        "split": split,
        "n": len(samples),
        "groups": None if "" in groups else len(groups),
        "chose_checkpoint": chose_checkpoint,
        "apart": apart,
        "tta": tta,
    }


CALIBRATIONS: Registry[Callable[..., Calibration]] = Registry("calibration for the task")
"""By task: what fits a calibration, called like ``fit_calibration``."""


@CALIBRATIONS.register(MULTICLASS.name)
def fit_calibration(
    logits: Tensor,
    labels: np.ndarray,
    classes: Sequence[str],
    fitted_on: dict[str, Any],
    coverage: float = 0.9,
    sensitivity: Rates = 0.95,
    specificity: Rates = None,
    for_sets: np.ndarray | None = None,
    groups: Sequence[str] | None = None,
    conditional: Literal["none", "class"] = "none",
) -> Calibration:
    """Fit the temperature, then the prediction sets and the thresholds on the calibrated probabilities.

    Args:
        logits: N x K.
        labels: N class indices.
        classes: names of the K classes.
        fitted_on: what the images are, for the record.
        coverage: share of images whose set is to hold the true class.
        sensitivity: for each class, or several, or by name of the class; None for no such operating points.
        specificity: the same.
        for_sets: N booleans: images that settle the sets, while the others settle the temperature; None for
            all images for both.
        groups: patient or lesion of each image, empty where unknown; None where there are none.
        conditional: ``class`` for sets that have the coverage in every class, not only in all together.

    Raises:
        HemfError: a rate is no share or of no class of the model, or logits are not finite.
    """
    if not torch.isfinite(logits).all():
        raise HemfError(
            "the model's outputs are not finite, so they cannot be calibrated; try --precision fp32"
        )
    wanted = check_rates(coverage, sensitivity, specificity, classes)
    on_sets = np.ones(len(labels), bool) if for_sets is None else for_sets
    on_temperature = on_sets if for_sets is None else ~for_sets
    units = _units(groups, len(labels))
    temperature, interval, of_temperature = _temperature(
        logits[torch.from_numpy(on_temperature)].numpy(),
        labels[on_temperature],
        len(np.unique(units[on_temperature])),
    )
    probabilities = Calibration(temperature).of_images(logits)
    grouped, names = any(groups or ()), classes if conditional == "class" else None
    sets, of_sets = _sets(probabilities[on_sets], labels[on_sets], coverage, units[on_sets], grouped, names)
    points, of_points = _operating_points(probabilities, labels, classes, wanted)
    left_out = (*of_temperature, *of_sets, *of_points)
    return Calibration(temperature, sets, tuple(points), fitted_on, left_out, interval)


def check_rates(
    coverage: float, sensitivity: Rates, specificity: Rates, classes: Sequence[str]
) -> list[tuple[Target, str, float]]:
    """(target, class, rate) of each operating point that ``fit_calibration`` is asked for.

    Raises:
        HemfError: coverage or a rate is no share, or a rate is of no class of the model.
    """
    if not 0 < coverage < 1:
        raise HemfError(f"coverage is {coverage}; give a share between 0 and 1, such as 0.9")
    return _wanted("sensitivity", sensitivity, classes) + _wanted("specificity", specificity, classes)


def _wanted(target: Target, rates: Rates, classes: Sequence[str]) -> list[tuple[Target, str, float]]:
    if rates is None:
        return []
    if isinstance(rates, Mapping):
        named = {str(name): rate for name, rate in rates.items()}  # in Python a class 0 may come as a number
        if unknown := sorted(set(named) - set(classes)):
            raise HemfError(f"no class {unknown[0]!r} for a {target}; the model's are {', '.join(classes)}")
        if len(named) < len(rates):
            raise HemfError(f"a class is named twice for a {target}, as text and as a number; keep one")
        pairs = [(name, named[name]) for name in classes if name in named]
    else:
        several = [rates] if isinstance(rates, float | int) else rates
        pairs = [(name, rate) for name in classes for rate in several]
    for _, rate in pairs:
        if not 0 < rate <= 1:
            raise HemfError(f"a {target} of {rate} cannot be aimed at; give a share, such as 0.95")
    return [(target, name, float(rate)) for name, rate in pairs]


def _units(groups: Sequence[str] | None, n: int) -> np.ndarray:
    """Number the patients or lesions of N images; an image of unknown group is one of its own."""
    names = [(groups[i] if groups else "") or i for i in range(n)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names])


def _temperature(
    logits: np.ndarray, labels: np.ndarray, units: int
) -> tuple[float | None, tuple[float, float] | None, list[str]]:
    """Fit a temperature that is known well enough and its interval, or neither and why."""
    temperature = fit_temperature(logits, labels)
    interval = None if temperature is None else temperature_interval(logits, labels, temperature, units)
    why = why_no_temperature(len(labels), temperature, interval)
    return (temperature, interval, []) if why is None else (None, None, [why])


def _sets(
    probabilities: np.ndarray,
    labels: np.ndarray,
    coverage: float,
    units: np.ndarray,
    grouped: bool,
    classes: Sequence[str] | None,
) -> tuple[PredictionSets | None, list[str]]:
    """Make sets, for each of ``classes`` or for all together, and say what the units were too few for."""

    def few(of: np.ndarray) -> str:
        n = len(np.unique(units[of]))
        number = patients(n) if grouped else counted(n, "image")
        return f"{number} {'is' if n == 1 else 'are'} too few to promise a coverage of {coverage:g}"

    every = np.ones(len(labels), bool)
    if classes is None:
        if not enough_units(len(np.unique(units)), coverage):
            return None, [f"no prediction sets: {few(every)}"]
        quantile = conformal_quantile(probabilities, labels, coverage, units)
        return PredictionSets(coverage, quantile, len(labels)), []
    found = class_quantiles(probabilities, labels, coverage, units)
    if not any(one is not None for one in found):
        return None, [
            f"no prediction sets by class: in no class are there enough for a coverage of {coverage:g}"
        ]
    missing = [
        f"{name} is in every prediction set: of it, {few(labels == k)}"
        for k, name in enumerate(classes)
        if found[k] is None
    ]
    quantiles = tuple(ALWAYS if one is None else one for one in found)
    return PredictionSets(coverage, quantiles, len(labels)), missing


def _operating_points(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    wanted: Sequence[tuple[Target, str, float]],
) -> tuple[list[OperatingPoint], list[str]]:
    """Choose the operating points, in the order of the classes, with a sentence for each that is missing."""
    points, missing = [], []
    for target, name, at in sorted(wanted, key=lambda one: classes.index(one[1])):
        k = classes.index(name)
        positive = labels == k
        which = f"no threshold for a {target} of {at:g} for {name}"
        if positive.all() or not positive.any():
            missing.append(f"{which}: {'every' if positive.all() else 'no'} image is of that class")
            continue
        threshold = choose_threshold(target, at, positive, probabilities[:, k])
        if threshold is None:
            missing.append(f"{which}: other images have the highest probabilities of it")
            continue
        n = positive.sum() if target == "sensitivity" else (~positive).sum()
        points.append(OperatingPoint(name, target, at, threshold, int(n)))
    return points, missing
