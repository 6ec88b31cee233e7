"""What thresholds that were chosen elsewhere do here, and how much hangs on where they lie."""

from typing import Any

import numpy as np

from hemf.calibration.record import OperatingPoint
from hemf.calibration.thresholds import choose_threshold
from hemf.evaluation.external.record import CarriedThreshold
from hemf.inference.predictions import Predictions

ODDS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Factors by which the odds of a threshold are moved."""


def carried(found: Predictions, point: OperatingPoint, here: dict[str, Any]) -> CarriedThreshold:
    """Return what a threshold does at another place.

    Args:
        found: predictions of the images there.
        point: the operating point.
        here: its entry of ``operating_points`` in the report, with its rates there.
    """
    k = found.classes.index(point.label)
    scores, positive = found.probabilities[:, k], found.labels == k
    both = positive.any() and not positive.all()
    reached = here[point.target]
    ends = reached.get("ci95")
    return CarriedThreshold(
        label=point.label,
        target=point.target,
        at=point.at,
        threshold=point.threshold,
        reached=reached,
        kept=None if ends is None else bool(ends[1] >= point.at),
        needed=choose_threshold(point.target, point.at, positive, scores) if both else None,
        moved=tuple(_moved(point.threshold, odds, scores, positive) for odds in ODDS),
    )


def _moved(
    threshold: float, odds: float, scores: np.ndarray, positive: np.ndarray
) -> dict[str, float | None]:
    """Return the rates at a threshold with ``odds`` times its odds."""
    moved = threshold * odds / (1 - threshold + threshold * odds)
    called = scores >= moved
    return {
        "odds": odds,
        "threshold": float(moved),
        "sensitivity": float(called[positive].mean()) if positive.any() else None,
        "specificity": float((~called)[~positive].mean()) if not positive.all() else None,
    }
