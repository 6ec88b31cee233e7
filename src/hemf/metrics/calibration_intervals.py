"""Bootstrap intervals of calibration, prediction sets and thresholds, by the rules of ``intervals``.

The expected calibration error has a rule of its own, for its estimate and its resamples are biased upwards.
In every bin, noise moves accuracy off confidence one way or the other, and the error counts both as distance:
on few images even a perfectly calibrated model has an error well above 0, and a bootstrap's resamples, with
the noise of drawing on top, lie higher still. Their quantiles almost never hold the true error of such a
model. So

- the upper end is that of the basic bootstrap, 2 e - q(2.5%), but not below the estimate e itself;
- the lower end is 0 where noise alone explains the estimate, that is, where e is at most the 97.5% quantile
  of the error of the resamples with the split's own gaps taken out; else it is the basic 2 e - q(97.5%).

The interval holds the estimate; ``benchmarks/interval_coverage.py`` measures how often also the true error.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemf.calibration.record import UNCALIBRATED, Calibration
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, Units, resample, tails, units_of
from hemf.metrics.calibration import bin_of, brier_of
from hemf.metrics.classification import log_loss_of
from hemf.metrics.clinical.decision_curves import benefits
from hemf.metrics.clinical.smooth import kernels
from hemf.metrics.intervals import with_interval
from hemf.metrics.operating_points import likelihood_ratios

Place = tuple[str | int, ...]
LEAST = 1e-3  # of what counts as an image of a smoothed value
FEWEST = 20  # units below which there is no interval: fewer tell nothing about fifteen bins


@dataclass(frozen=True)
class Mean:
    """A measure that is a mean over images.

    Args:
        place: the keys that lead to it in the report.
        of: N numbers or booleans, of which the mean is taken.
        among: N booleans, the images that it goes over, or how much each of them counts.
        in_class: units of the class that it speaks of; None where it speaks of none.
    """

    place: Place
    of: np.ndarray
    among: np.ndarray
    in_class: int | None = None


def with_confidence_intervals(
    report: dict[str, Any], found: Predictions, draws: Draws, own: Calibration = UNCALIBRATED
) -> dict[str, Any]:
    """Return a report in which what ``confidence_report`` found has its intervals.

    Args:
        report: what ``confidence_report`` gives for these predictions, and maybe more.
        found: the predictions.
        draws: the bootstrap's; without resamples only Wilson's intervals are given.
        own: the model's calibration.
    """
    if not draws.resamples:
        return report
    labels, probabilities = found.labels, found.probabilities
    units = units_of(labels, found.groups)
    in_class = [units.among(labels == k) for k in range(len(found.classes))]
    entries: dict[Place, np.ndarray] = {("calibration",): probabilities}
    if report["calibration"]["uncalibrated"] is not None:
        entries["calibration", "uncalibrated"] = found.uncalibrated
    means = [mean for place, rows in entries.items() for mean in _scores(place, labels, rows)]
    if own.sets is not None:
        means += _sets(found, own.sets.hold(probabilities), in_class)
    for i, point in enumerate(report.get("operating_points", ())):
        k = found.classes.index(point["class"])
        called = probabilities[:, k] >= point["threshold"]
        means += _rates(("operating_points", i), labels == k, called, in_class[k])

    means += _curves(report, found)
    gaps = [_gaps(found.labels, rows) for rows in entries.values()]
    blocks = list(_on_resamples(means, gaps, resample(units, draws)))
    values, errors, noise = (np.concatenate(part, axis=1) for part in zip(*blocks, strict=True))
    for mean, one in zip(means, values, strict=True):
        among = mean.among > LEAST
        report = _changed(report, mean.place, with_interval, one, units, among, mean.in_class)
    report = _with_likelihood_ratios(
        report, found, units, dict(zip((m.place for m in means), values, strict=True))
    )
    for place, *one in zip(entries, errors, noise, strict=True):
        report = _changed(report, (*place, "ece"), with_error_interval, *one, units)
    return report


def _changed(tree: Any, place: Place, change: Callable[..., Any], *arguments: Any) -> Any:
    """Return a report in which what lies at ``place`` is what ``change`` makes of it."""
    if not place:
        return change(tree, *arguments)
    key, *rest = place
    below = _changed(tree[key], tuple(rest), change, *arguments)
    if isinstance(key, int):  # within a list
        return [*tree[:key], below, *tree[key + 1 :]]
    return tree | {key: below}


def _on_resamples(
    means: Sequence[Mean], gaps: Sequence[np.ndarray], resamples: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of R resamples: the M means (M x R, NaN over no image), the E calibration errors and what they
    would be if the split's own gaps were none (E x R each)."""
    among = np.array([mean.among for mean in means], dtype=np.float64)
    of = among * np.array([mean.of for mean in means], dtype=np.float64)
    for weights in resamples:
        below = among @ weights
        values = np.divide(of @ weights, below, out=np.full(below.shape, np.nan), where=below > 0)
        sums = [(one @ weights, one.sum(1, keepdims=True)) for one in gaps]
        of_errors = np.array([np.abs(drawn).sum(0) for drawn, _ in sums]) / weights.sum(0)
        noise = np.array([np.abs(drawn - own).sum(0) for drawn, own in sums]) / weights.sum(0)
        yield values, of_errors, noise


def _scores(place: Place, labels: np.ndarray, probabilities: np.ndarray) -> list[Mean]:
    """Compute Brier score and log-loss."""
    every = np.ones(len(labels), dtype=bool)
    return [
        Mean((*place, "brier"), brier_of(labels, probabilities), every),
        Mean((*place, "log_loss"), log_loss_of(labels, probabilities), every),
    ]


def _gaps(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return bins x N: in each image's bin 1 or 0, for right or wrong, less its confidence; elsewhere 0.

    The calibration error is the sum over bins of the absolute sum over images, divided by their number.
    """
    bins = bin_of(probabilities.max(1))
    gap = (probabilities.argmax(1) == labels) - probabilities.max(1)
    return np.where(bins == np.unique(bins)[:, None], gap, 0.0)


def _sets(found: Predictions, in_set: np.ndarray, in_class: Sequence[int]) -> list[Mean]:
    """Return the measures of prediction sets, on all images and on those of each class."""
    labels, sizes = found.labels, in_set.sum(1)
    holds, answered = in_set[np.arange(len(labels)), labels], sizes == 1
    parts: list[tuple[Place, np.ndarray, int | None]] = [(("conformal",), np.ones(len(labels), bool), None)]
    parts += [
        (("conformal", "per_class", name), labels == k, in_class[k]) for k, name in enumerate(found.classes)
    ]
    means = []
    for place, among, number in parts:
        means += [
            Mean((*place, "coverage"), holds, among, number),
            Mean((*place, "mean_size"), sizes, among, number),
            Mean((*place, "abstained"), ~answered, among, number),
            Mean((*place, "empty"), sizes == 0, among, number),
            Mean((*place, "accuracy_answered"), found.decisions == labels, among & answered, number),
        ]
    return means


def _curves(report: dict[str, Any], found: Predictions) -> list[Mean]:
    """Return net benefits and smoothed accuracies."""
    labels, probabilities = found.labels, found.probabilities
    every, means = np.ones(len(labels), dtype=bool), []
    for name, points in report["decision_curves"].items():
        k = found.classes.index(name)
        for i, point in enumerate(points):
            t = point["threshold"]
            of = benefits(labels == k, probabilities[:, k] >= t, t)
            means.append(Mean(("decision_curves", name, i, "net_benefit"), of, every))
    right = found.decisions == labels
    for i, kernel in enumerate(kernels(probabilities.max(1))):
        means.append(Mean(("calibration", "smooth", i, "accuracy"), right, kernel))
    return means


def _with_likelihood_ratios(
    report: dict[str, Any], found: Predictions, units: Units, drawn: Mapping[Place, np.ndarray]
) -> dict[str, Any]:
    """Return the report whose likelihood ratios have intervals, from the rates on the resamples."""
    for i, point in enumerate(report.get("operating_points", ())):
        place: Place = ("operating_points", i)
        of = found.labels == found.classes.index(point["class"])
        rarer = min(of, ~of, key=units.among)
        ratios = likelihood_ratios(*(drawn[*place, rate] for rate in ("sensitivity", "specificity")))
        for name, values in ratios.items():
            report = _changed(report, (*place, name), with_interval, values, units, rarer, units.among(rarer))
    return report


def _rates(place: Place, positive: np.ndarray, called: np.ndarray, in_class: int) -> list[Mean]:
    """Return the four rates of a threshold; specificity alone says nothing of the class's own images."""
    return [
        Mean((*place, "sensitivity"), called, positive, in_class),
        Mean((*place, "specificity"), ~called, ~positive),
        Mean((*place, "ppv"), positive, called, in_class),
        Mean((*place, "npv"), ~positive, ~called, in_class),
    ]


def with_error_interval(
    measure: dict[str, Any], values: np.ndarray, noise: np.ndarray, units: Units
) -> dict[str, Any]:
    """Return a calibration error with its interval, or with why it has none.

    Args:
        measure: the error.
        values: what it is on each of R resamples.
        noise: the same with the split's own gaps taken out, R values.
        units: what was drawn.
    """
    if units.count < FEWEST:
        too_few = "is" if units.count == 1 else "are"
        return measure | {"no_interval": f"{units.words} {too_few} too few, {FEWEST} are needed"}
    error = measure["value"]
    shares = tails(units.freedom(np.ones(len(units.of_image), bool)))
    high, low = 2 * error - np.quantile(values, shares)
    if error <= np.quantile(noise, shares[1]):
        low = 0.0
    ends = [min(error, max(0.0, float(low))), min(1.0, max(error, float(high)))]
    return measure | {"ci95": ends, "interval": "bias-corrected bootstrap"}
