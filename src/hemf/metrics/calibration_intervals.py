"""Bootstrap intervals of calibration, prediction sets and thresholds, by the rules of ``intervals``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemf.calibration.record import UNCALIBRATED, Calibration
from hemf.metrics.bootstrap import Units, resample, units_of
from hemf.metrics.calibration import bin_of, brier_of
from hemf.metrics.classification import log_loss_of
from hemf.metrics.ece_interval import give_error_interval
from hemf.metrics.intervals import give_interval


@dataclass(frozen=True)
class Mean:
    """A measure that is a mean over images.

    Args:
        measure: it is given its interval.
        of: N numbers or booleans, of which the mean is taken.
        among: N booleans, the images that it goes over.
        single: whether the class that it speaks of has a single unit.
    """

    measure: dict[str, Any]
    of: np.ndarray
    among: np.ndarray
    single: bool = False


def add_confidence_intervals(
    report: dict[str, Any],
    labels: np.ndarray,
    probabilities: np.ndarray,
    groups: Sequence[str] | None,
    resamples: int,
    seed: int,
    own: Calibration = UNCALIBRATED,
    before: np.ndarray | None = None,
) -> None:
    """Give what ``confidence_report`` has found its intervals.

    Args:
        report: with ``classes`` and what ``confidence_report`` gives for these images; it is changed.
        labels: N class indices.
        probabilities: N x K, calibrated.
        groups: patient or lesion of each image, empty where unknown.
        resamples: number of bootstrap resamples; 0 leaves Wilson's intervals alone.
        seed: of the resamples, which are those of ``add_intervals``.
        own: the model's calibration.
        before: N x K, the probabilities without it; needed where the report has them.
    """
    if not resamples:
        return
    units = units_of(labels, groups)
    single = [units.among(labels == k) == 1 for k in range(probabilities.shape[1])]
    found, means, errors = report["calibration"], [], []
    for entry, rows in ((found, probabilities), (found["uncalibrated"], before)):
        if entry is not None:
            means += _scores(entry, labels, rows)
            errors.append((entry["ece"], _gaps(labels, rows)))
    if "conformal" in report:
        in_set = own.in_set(probabilities)
        means += _sets(report["conformal"], labels, in_set, probabilities.argmax(1), single)
    for point in report.get("operating_points", ()):
        k = report["classes"].index(point["class"])
        means += _rates(point, labels == k, probabilities[:, k] >= point["threshold"], single[k])

    blocks = list(_on_resamples(means, [gaps for _, gaps in errors], units, resamples, seed))
    values, of_errors, noise = (np.concatenate(part, axis=1) for part in zip(*blocks, strict=True))
    for mean, one in zip(means, values, strict=True):
        give_interval(mean.measure, one, units, mean.among, mean.single)
    for (measure, _), *one in zip(errors, of_errors, noise, strict=True):
        give_error_interval(measure, *one, units)


def _on_resamples(
    means: Sequence[Mean], gaps: Sequence[np.ndarray], units: Units, resamples: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of R resamples: the M means (M x R, NaN over no image), the E calibration errors and what they
    would be if the split's own gaps were none (E x R each)."""
    among = np.array([mean.among for mean in means], dtype=np.float64)
    of = among * np.array([mean.of for mean in means], dtype=np.float64)
    for weights in resample(units, resamples, seed):
        below = among @ weights
        values = np.divide(of @ weights, below, out=np.full(below.shape, np.nan), where=below > 0)
        sums = [(one @ weights, one.sum(1, keepdims=True)) for one in gaps]
        of_errors = np.array([np.abs(drawn).sum(0) for drawn, _ in sums]) / weights.sum(0)
        noise = np.array([np.abs(drawn - own).sum(0) for drawn, own in sums]) / weights.sum(0)
        yield values, of_errors, noise


def _scores(entry: dict[str, Any], labels: np.ndarray, probabilities: np.ndarray) -> list[Mean]:
    """Brier score and log-loss."""
    every = np.ones(len(labels), dtype=bool)
    return [
        Mean(entry["brier"], brier_of(labels, probabilities), every),
        Mean(entry["log_loss"], log_loss_of(labels, probabilities), every),
    ]


def _gaps(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Bins x N: in each image's bin 1 or 0, for right or wrong, less its confidence; elsewhere 0.

    The calibration error is the sum over bins of the absolute sum over images, divided by their number.
    """
    bins = bin_of(probabilities.max(1))
    gap = (probabilities.argmax(1) == labels) - probabilities.max(1)
    return np.where(bins == np.unique(bins)[:, None], gap, 0.0)


def _sets(
    found: dict[str, Any],
    labels: np.ndarray,
    in_set: np.ndarray,
    predictions: np.ndarray,
    single: Sequence[bool],
) -> list[Mean]:
    """The measures of prediction sets, on all images and on those of each class."""
    sizes, every = in_set.sum(1), np.ones(len(labels), dtype=bool)
    holds, answered = in_set[np.arange(len(labels)), labels], sizes == 1
    of_classes = [(one, labels == k, single[k]) for k, one in enumerate(found["per_class"].values())]
    means = []
    for one, among, is_single in [(found, every, False), *of_classes]:
        means += [
            Mean(one["coverage"], holds, among, is_single),
            Mean(one["mean_size"], sizes, among, is_single),
            Mean(one["abstained"], ~answered, among, is_single),
            Mean(one["empty"], sizes == 0, among, is_single),
            Mean(one["accuracy_answered"], predictions == labels, among & answered, is_single),
        ]
    return means


def _rates(point: dict[str, Any], positive: np.ndarray, called: np.ndarray, single: bool) -> list[Mean]:
    """The four rates of a threshold; specificity alone says nothing of the class's own images."""
    return [
        Mean(point["sensitivity"], called, positive, single),
        Mean(point["specificity"], ~called, ~positive),
        Mean(point["ppv"], positive, called, single),
        Mean(point["npv"], ~positive, ~called, single),
    ]
