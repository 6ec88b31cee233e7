"""What was found at another place, as it stands in ``metrics.json``."""

import json
from dataclasses import asdict, dataclass
from typing import Any

Measure = dict[str, Any]
"""``value`` (None where undefined, then ``reason`` says why), ``n`` and, where there is one, ``ci95``."""


@dataclass(frozen=True)
class Prevalence:
    """Shares of the classes, and measures as they would be with those of the development data.

    Args:
        development: share of each class among all images of the run.
        here: share of each class among these.
        effective_n: images that the weighted ones are worth (Kish): (sum of weights)^2 / sum of squares.
        measures: each image counted with the ratio of its class's shares.
        operating_points: for each operating point its ``class``, ``target``, ``at``, ``ppv`` and ``npv``.
    """

    development: dict[str, float]
    here: dict[str, float]
    effective_n: float
    measures: dict[str, Measure]
    operating_points: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Recalibrated:
    """What one way of recalibration gains.

    Args:
        method: ``temperature``, ``intercept`` or ``slope and intercept``.
        slope: fitted on all images, that logarithms of probabilities are multiplied by; 1 over a temperature.
        intercepts: fitted on all images, that are then added, by class.
        log_loss: cross-fitted: each image by parameters that were fitted without its patient.
        ece: the same of the calibration error.
        accuracy: the same of the accuracy.
        gain: by how much the log-loss falls.
        few: for each number of labelled units, mean gain on the others and the 10% and 90% quantiles of it.
    """

    method: str
    slope: float
    intercepts: dict[str, float]
    log_loss: float
    ece: float
    accuracy: float
    gain: Measure
    few: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Recalibration:
    """What recalibration on labelled cases of this place would gain.

    Args:
        log_loss: of the model as it came.
        ece: its calibration error.
        folds: of the cross-fitting.
        ways: what each way gains.
    """

    log_loss: float
    ece: float
    folds: int
    ways: tuple[Recalibrated, ...]


@dataclass(frozen=True)
class CarriedThreshold:
    """What a threshold that was chosen elsewhere does here, and how much hangs on it.

    Args:
        label: the class that is called.
        target: the rate that was asked for.
        at: how high it was to be.
        threshold: the threshold.
        reached: that rate here.
        kept: whether ``at`` lies in the rate's interval, or below it; None without an interval.
        needed: the threshold that would reach ``at`` on these images; None where none does.
        moved: for each other threshold, by the factor of the odds: ``odds``, ``threshold``, ``sensitivity``
            and ``specificity``.
    """

    label: str
    target: str
    at: float
    threshold: float
    reached: Measure
    kept: bool | None
    needed: float | None
    moved: tuple[dict[str, float | None], ...]


@dataclass(frozen=True)
class External:
    """All that was found at another place.

    Args:
        developed_on: name of the data that the run was developed on; None where its run is not at hand.
        class_map: what ``--map`` has done; None without.
        lacking: the model's classes of which there are no images here.
        taken_for_lacking: share of the images taken for one of these, all of them wrongly.
        among_shared: measures where only classes that are here may be chosen; empty where all are.
        prevalence: None where the development data are not at hand.
        recalibration: None where the images are too few.
        thresholds: each operating point of the model.
        left_out: a sentence for each part that is missing.
    """

    developed_on: str | None
    class_map: dict[str, Any] | None
    lacking: tuple[str, ...]
    taken_for_lacking: Measure | None
    among_shared: dict[str, Measure]
    prevalence: Prevalence | None
    recalibration: Recalibration | None
    thresholds: tuple[CarriedThreshold, ...]
    left_out: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Write it as it stands in ``metrics.json``."""
        return json.loads(json.dumps(asdict(self)))  # lists for tuples
