"""The measures of a model that takes every image for one of several classes."""

from typing import Any

from hemf.calibration.record import Calibration
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws
from hemf.metrics.calibration import confidence_report
from hemf.metrics.calibration_intervals import with_confidence_intervals
from hemf.metrics.classification import classification_metrics
from hemf.metrics.comparison.compare import compare_predictions
from hemf.metrics.intervals import with_intervals
from hemf.metrics.registry import MEASURES, TaskMeasures
from hemf.tasks import MULTICLASS


def measure(found: Predictions, own: Calibration) -> dict[str, Any]:
    """Measure classification, and how far its confidence can be believed."""
    report = classification_metrics(found.labels, found.probabilities, found.classes)
    return report | confidence_report(found, own)


def with_all_intervals(
    report: dict[str, Any], found: Predictions, own: Calibration, draws: Draws
) -> dict[str, Any]:
    """Return a report that ``measure`` gives, and maybe more, with an interval for every measure."""
    return with_confidence_intervals(with_intervals(report, found, draws), found, draws, own)


MEASURES.register(MULTICLASS.name)(TaskMeasures(measure, with_all_intervals, compare_predictions))
