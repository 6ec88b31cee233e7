"""Measures of validation after each epoch, by torchmetrics."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import multiclass_auroc, multiclass_f1_score, multiclass_recall
from torchmetrics.utilities.data import dim_zero_cat

from hemf.core.registry import Registry
from hemf.tasks import MULTICLASS

VALIDATION_METRICS: Registry[Callable[[int], Metric]] = Registry("validation metrics for the task")
"""By task: from the number of outputs to a metric that is updated with logits and targets, and computes a
scalar for each name in the task's ``monitored``."""


@VALIDATION_METRICS.register(MULTICLASS.name)
class ValidationMetrics(Metric):
    """Loss, accuracy, balanced accuracy, macro F1 and macro one-vs-rest ROC AUC of a whole split.

    The loss is the plain log-loss, whatever training minimises, so that runs can be compared. Balanced
    accuracy and F1 are means over the classes that occur, as in ``hemf evaluate``; ROC AUC is NaN where a
    class does not.
    Keeps every logit, which for ten classes and ten thousand images is 400 kB.
    """

    full_state_update = False
    logits: list[Tensor]
    labels: list[Tensor]

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("logits", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits ``(B, K)``, class indices ``(B,)``."""
        self.logits.append(logits.detach().float())
        self.labels.append(labels)

    def compute(self) -> dict[str, Tensor]:
        """Return each metric as a scalar."""
        logits, labels = dim_zero_cat(self.logits), dim_zero_cat(self.labels)
        present = labels.bincount(minlength=self.num_classes) > 0
        each = {"num_classes": self.num_classes, "average": None}
        macro = {"num_classes": self.num_classes, "average": "macro"}
        return {
            "loss": F.cross_entropy(logits, labels),
            "accuracy": (logits.argmax(1) == labels).float().mean(),
            "balanced_accuracy": multiclass_recall(logits, labels, **each)[present].mean(),
            "f1": multiclass_f1_score(logits, labels, **each)[present].mean(),
            "roc_auc": self._roc_auc(logits, labels, macro)
            if present.all()
            else logits.new_tensor(torch.nan),
        }

    @staticmethod
    def _roc_auc(logits: Tensor, labels: Tensor, options: dict) -> Tensor:
        finite = torch.isfinite(logits).all()
        return (
            multiclass_auroc(logits.softmax(1), labels, **options) if finite else logits.new_tensor(torch.nan)
        )
