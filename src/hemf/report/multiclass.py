"""The report of a model that takes every image for one of several classes."""

from matplotlib.figure import Figure

from hemf.evaluation.evaluate import Evaluation
from hemf.figures.classification import confusion_figure, precision_recall_figure, roc_figure
from hemf.figures.reliability import reliability_figure
from hemf.metrics.wording import measure_text
from hemf.report.registry import REPORTS, TaskReport
from hemf.report.sections.calibration import calibration, operating_points, prediction_sets
from hemf.report.sections.classes import classes
from hemf.report.sections.external import external
from hemf.report.sections.glance import glance
from hemf.report.sections.measures import confusion, curves, folds, measures
from hemf.report.sections.mistakes import mistakes
from hemf.report.sections.promises import promises
from hemf.report.sections.provenance import made_with, training
from hemf.report.sections.subgroups import subgroups
from hemf.report.sections.tested import tested
from hemf.report.terminal import show
from hemf.report.worst_mistakes import worst
from hemf.tasks import MULTICLASS

SECTIONS = {
    "At a glance": glance,
    "What was tested": tested,
    "Measures": measures,
    "Promises": promises,
    "Classes": classes,
    "Confusion matrix": confusion,
    "Curves": curves,
    "Calibration": calibration,
    "Prediction sets": prediction_sets,
    "Operating points": operating_points,
    "Subgroups": subgroups,
    "External validation": external,
    "Folds": folds,
    "Mistakes": mistakes,
    "Training": training,
    "How this was made": made_with,
}
"""From top to bottom, what each shows of what is known; one that returns no parts is left out.

A new section is a file in ``report/sections`` and a line here.
"""


def figures(found: Evaluation) -> dict[str, Figure]:
    """Draw confusion matrix, one-vs-rest curves and reliability."""
    report, predictions = found.report, found.predictions
    head = f"{report['data']['name']} {found.split}, n = {found.n}"

    def title(words: str, name: str) -> str:
        return f"{head}: {words} {measure_text(found.metrics[name])}"

    one_vs_rest = predictions.labels, predictions.probabilities, predictions.classes
    return {
        "confusion-matrix": confusion_figure(
            report["confusion_matrix"], predictions.classes, title("accuracy", "accuracy")
        ),
        "roc": roc_figure(*one_vs_rest, title("macro ROC AUC", "roc_auc_macro")),
        "precision-recall": precision_recall_figure(
            *one_vs_rest, title("macro average precision", "average_precision_macro")
        ),
        "reliability": reliability_figure(report["calibration"], head),
    }


REPORTS.register(MULTICLASS.name)(TaskReport(SECTIONS, figures, worst, show))
