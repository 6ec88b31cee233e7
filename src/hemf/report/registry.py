"""What a report shows, by task: a new task's report is one file of this package with one registration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hemf.core.registry import Registry
from hemf.evaluation.evaluate import Evaluation
from hemf.inference.predictions import Predictions
from hemf.pages.elements import Part
from hemf.report.material import Material
from hemf.tasks import MULTICLASS


@dataclass(frozen=True)
class TaskReport:
    """How an evaluation of a task is shown.

    Args:
        sections: sections of the page from top to bottom; one that has no parts is left out.
        figures: the drawings, by the name of their file.
        mistakes: indices of the images to show as the worst mistakes.
        show: prints a report, and where its files are.
    """

    sections: Mapping[str, Callable[[Material], list[Part]]]
    figures: Callable[[Evaluation], Mapping[str, Figure]]
    mistakes: Callable[[Predictions], np.ndarray]
    show: Callable[[dict[str, Any], Path], None]


REPORTS: Registry[TaskReport] = Registry("report for the task")


def report_of(report: Mapping[str, Any]) -> TaskReport:
    """Return how to show what ``metrics.json`` holds.

    Raises:
        HemfError: its task has no report.
    """
    return REPORTS.find(report.get("task", MULTICLASS.name))
