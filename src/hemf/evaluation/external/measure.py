"""Measures a model on the images of another place."""

from typing import Any

import numpy as np

from hemf.evaluation.external.prevalence import reweighted, shares_of
from hemf.evaluation.external.recalibration import FEWEST, recalibrate
from hemf.evaluation.external.record import External, Measure
from hemf.evaluation.external.thresholds import carried
from hemf.evaluation.samples import Subject
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws
from hemf.metrics.classification import measure, proportion
from hemf.tasks import MULTICLASS


def is_external(subject: Subject) -> bool:
    """Return whether the images come from another place than those that the run was developed on.

    They do where they are given apart, and are neither the run's own nor of the source that it was trained
    on. Whether a folder or a CSV is of the same hospital, nobody but its owner knows.
    """
    ours = subject.ours
    return (
        not subject.own
        and subject.trained.task is MULTICLASS
        and (ours is None or not subject.images.names_groups_of(ours))
    )


def measure_external(subject: Subject, found: Predictions, report: dict[str, Any], draws: Draws) -> External:
    """Measure what matters at another place.

    Args:
        subject: the model and the images.
        found: its predictions.
        report: what is measured of them, with ``operating_points`` where the model has any.
        draws: the bootstrap's.
    """
    own, ours, left_out = subject.trained.calibration, subject.ours, []
    present = np.unique(found.labels)
    lacking = tuple(name for k, name in enumerate(found.classes) if k not in present)
    prevalence = None
    if ours is None:
        left_out.append("The shares of the classes in development are unknown: the run is not at hand.")
    else:
        development = shares_of([s.label for s in ours.samples], found.classes)
        prevalence = reweighted(found, own, development, draws)
    recalibration = recalibrate(found, draws)
    if recalibration is None:
        left_out.append(
            f"Recalibration is not tried: it takes two classes and {FEWEST} patients, or images where none "
            "are known."
        )
    points = zip(own.operating_points, report.get("operating_points", ()), strict=True)
    return External(
        developed_on=None if ours is None else ours.name,
        class_map=subject.images.info.get("class_map"),
        lacking=lacking,
        taken_for_lacking=_taken_for(found, present) if lacking else None,
        among_shared=_among_shared(found, present) if lacking else {},
        prevalence=prevalence,
        recalibration=recalibration,
        thresholds=tuple(carried(found, point, here) for point, here in points),
        left_out=tuple(left_out),
    )


def _taken_for(found: Predictions, present: np.ndarray) -> Measure:
    return proportion(int((~np.isin(found.decisions, present)).sum()), len(found.labels))


def _among_shared(found: Predictions, present: np.ndarray) -> dict[str, Measure]:
    """Return measures of decisions among the classes that are here alone."""
    decided, n = present[found.probabilities[:, present].argmax(1)], len(found.labels)
    balanced = np.mean([(decided[found.labels == k] == k).mean() for k in present])
    return {
        "accuracy": proportion(int((decided == found.labels).sum()), n),
        "balanced_accuracy": measure(balanced, n),
    }
