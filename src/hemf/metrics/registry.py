"""What is measured, by task: a new task's measures are one file of this package with one registration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hemf.calibration.record import Calibration
from hemf.core.registry import Registry
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws

Report = dict[str, Any]


@dataclass(frozen=True)
class TaskMeasures:
    """How predictions of a task become the numbers of ``metrics.json``.

    Args:
        measure: from predictions and the model's calibration to a report; its ``metrics`` hold, by name, the
            measures of all images, each with ``value`` and ``n``.
        with_intervals: from such a report, its predictions, the model's calibration and the bootstrap's draws
            to the report whose measures have their intervals.
        compare: from models' names, their predictions on the same images (by one seed or several), names of
            measures, draws and a margin or None to what ``hemf compare`` tells; None where there are no tests
            for the task.
    """

    measure: Callable[[Predictions, Calibration], Report]
    with_intervals: Callable[[Report, Predictions, Calibration, Draws], Report]
    compare: (
        Callable[[Sequence[str], Sequence[Sequence[Predictions]], Sequence[str], Draws, float | None], Report]
        | None
    ) = None


MEASURES: Registry[TaskMeasures] = Registry("measures for the task")
