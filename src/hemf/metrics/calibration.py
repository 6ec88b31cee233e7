"""Measures whether a model's confidence can be believed: calibration error, Brier score, log-loss, bins."""

from typing import Any

import numpy as np

from hemf.calibration.record import UNCALIBRATED, Calibration
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import units_of
from hemf.metrics.classification import log_loss_of, measure
from hemf.metrics.clinical.decision_curves import decision_curves
from hemf.metrics.clinical.slope import slopes
from hemf.metrics.clinical.smooth import smooth_reliability
from hemf.metrics.operating_points import operating_point_metrics
from hemf.metrics.prediction_sets import refusal_metrics

BINS = 15


def confidence_report(found: Predictions, own: Calibration) -> dict[str, Any]:
    """Return ``calibration``, ``decision_curves``, ``conformal``, ``operating_points`` of ``metrics.json``.

    ``conformal`` is missing from a model without prediction sets, ``operating_points`` from one without any;
    ``uncalibrated`` within ``calibration`` is None for a model without a temperature.

    Args:
        found: the predictions, with their logits.
        own: the model's calibration.
    """
    labels, probabilities, before = found.labels, found.probabilities, None
    if own.temperature is not None:
        before = confidence_metrics(labels, found.uncalibrated)
    report: dict[str, Any] = {"calibration": calibration_entry(labels, probabilities, own, before)}
    report["calibration"] |= {
        "per_class": slopes(labels, probabilities, found.classes, units_of(labels, found.groups)),
        "smooth": smooth_reliability(labels, probabilities),
    }
    report["decision_curves"] = decision_curves(labels, probabilities, found.classes)
    if own.sets is not None:
        in_set = own.sets.hold(probabilities)
        report["conformal"] = {
            "target": own.sets.coverage,
            "method": own.sets.method,
            "conditional": "class" if own.sets.by_class else "none",
        }
        report["conformal"] |= refusal_metrics(labels, in_set, found.decisions, found.classes)
    if own.operating_points:
        chosen_on = own.fitted_on.get("split")
        report["operating_points"] = [
            operating_point_metrics(labels, probabilities, found.classes, point) | {"chosen_on": chosen_on}
            for point in own.operating_points
        ]
    return report


def calibration_entry(
    labels: np.ndarray,
    probabilities: np.ndarray,
    own: Calibration = UNCALIBRATED,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the entry ``calibration`` of ``metrics.json``; pooled folds, whose models differ, have no ``own``.

    Args:
        labels: N class indices.
        probabilities: N x K, calibrated.
        own: the model's calibration.
        before: what ``confidence_metrics`` makes of the probabilities without it.
    """
    return {
        "temperature": own.temperature,
        "temperature_ci95": None if own.temperature_ci95 is None else list(own.temperature_ci95),
        **confidence_metrics(labels, probabilities),
        "uncalibrated": before,
        "fitted_on": own.fitted_on or None,
        "left_out": list(own.left_out),
    }


def shares_images(own: Calibration, data_hash: str, split: str) -> bool:
    """Return whether the calibration was fitted on images of this split of the data set with this hash."""
    fitted_on = own.fitted_on
    return fitted_on.get("data_hash") == data_hash and (
        fitted_on["split"] == split or "all" in (fitted_on["split"], split)
    )


def confidence_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Measure how well probabilities agree with what happens; 0 is best for all.

    - ``ece``, expected calibration error (Guo et al. 2017): the mean over images of |accuracy - confidence|
      of their bin, where confidence is the probability of the predicted class ("top label"), in 15 bins of
      equal width. It is too large where bins hold few images.
    - ``brier`` (Brier 1950): mean square of the error of the probabilities, summed over the classes (0 to 2);
      of two classes half of that, as usual for them (0 to 1).
    - ``log_loss``: mean of minus the logarithm of the true class's probability.

    Args:
        labels: N class indices.
        probabilities: N x K, rows summing to one.

    Returns:
        Those measures, and ``bins`` with ``low``, ``high``, ``n``, ``confidence`` and ``accuracy``, the last
        two None in an empty bin.
    """
    n = len(labels)
    bins = reliability_bins(labels, probabilities)
    error = sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in bins if b["n"]) / n
    return {
        "ece": measure(error, n),
        "brier": measure(brier_of(labels, probabilities).mean(), n),
        "log_loss": measure(log_loss_of(labels, probabilities).mean(), n),
        "bins": bins,
    }


def reliability_bins(
    labels: np.ndarray, probabilities: np.ndarray, number: int = BINS
) -> list[dict[str, Any]]:
    """Return images by the probability of the predicted class, in bins (low, high] of equal width."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    edges, where = np.linspace(0, 1, number + 1), bin_of(confidence, number)
    bins = []
    for i in range(number):
        inside = where == i
        found = inside.any()
        bins.append(
            {
                "low": float(edges[i]),
                "high": float(edges[i + 1]),
                "n": int(inside.sum()),
                "confidence": float(confidence[inside].mean()) if found else None,
                "accuracy": float(right[inside].mean()) if found else None,
            }
        )
    return bins


def bin_of(confidence: np.ndarray, number: int = BINS) -> np.ndarray:
    """Return the bin of each of N confidences: (low, high] of equal width, from 0."""
    return np.searchsorted(np.linspace(0, 1, number + 1)[1:-1], confidence, side="left")


def brier_of(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return what each of N images adds to the Brier score."""
    k = probabilities.shape[1]
    return ((probabilities - np.eye(k)[labels]) ** 2).sum(1) / (2 if k == 2 else 1)
