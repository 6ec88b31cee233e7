"""The numbers of an evaluation, each with the number of images it rests on.

scikit-learn computes the measures and SciPy the intervals; this file decides what is undefined, so that a
class that is absent from a split or never predicted is reported as such, not as a zero, a NaN or a crash.
"""

from collections.abc import Sequence
from typing import Any, SupportsFloat

import numpy as np
from scipy.stats import binomtest
from sklearn import metrics as sk

from hemf.core.errors import HemfError

CLASS_MEASURES = ("precision", "recall", "f1", "specificity", "roc_auc", "average_precision")

ABSENT = "absent"
NEVER_PREDICTED = "never predicted"
ONE_CLASS = "one class only"


def classification_metrics(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Compute every measure of a classifier on one split.

    The prediction is the class of the largest probability (the first of equals). Every measure is a
    dictionary: ``value`` (None where undefined, then ``reason`` says why), ``n`` (the images it rests on)
    and, for proportions, ``ci95`` (Wilson's 95% interval).

    - n of recall (sensitivity) is the class's images, of specificity all others, of precision those predicted
      as the class, of F1 those that are or are predicted as the class, and of all else the whole split.
    - Of a class without images specificity is measured, and all else is None, with the reason ``absent``;
      macro and weighted averages go over the classes present, which ``averaged_over`` lists.
    - The precision of a class that is never predicted is None, with the reason ``never predicted``; in macro
      and weighted precision it counts as zero (scikit-learn's ``zero_division=0``, as in published
      comparisons).
    - With a single class in the split, its specificity, ROC AUC, average precision, MCC and kappa are None,
      with the reason ``one class only``. With several classes and a constant prediction MCC is 0, as in
      scikit-learn.
    - ROC AUC and average precision are one-vs-rest. Of two classes both are reported; their AUCs are equal.

    Args:
        labels: class index of each image, N integers.
        probabilities: N x K, rows summing to one.
        classes: names of the K classes, in the order of the columns.

    Returns:
        ``n``, ``classes``, ``absent_classes``, ``averaged_over``, ``metrics`` (of the split), ``per_class``
        and ``confusion_matrix`` (K x K counts, rows true, columns predicted), all ready for JSON.

    Raises:
        HemfError: no images, fewer than two classes, or labels or probabilities that do not fit.
    """
    labels, probabilities = check(labels, probabilities, classes)
    confusion = sk.confusion_matrix(labels, probabilities.argmax(1), labels=range(len(classes)))
    counts = confusion.sum(1)
    present = np.flatnonzero(counts)
    scores = ranking_scores(probabilities)
    per_class = {
        name: {"n": int(counts[k]), "absent": not counts[k]}
        | class_metrics(k, confusion, labels, scores[:, k])
        for k, name in enumerate(classes)
    }
    averaged = [name for k, name in enumerate(classes) if counts[k]]
    shown = [per_class[name] for name in averaged]
    return {
        "n": len(labels),
        "classes": list(classes),
        "absent_classes": [name for k, name in enumerate(classes) if not counts[k]],
        "averaged_over": averaged,
        "metrics": split_metrics(labels, probabilities, present, shown),
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
    }


def ranking_scores(probabilities: np.ndarray) -> np.ndarray:
    """Return N x K scores by which one-vs-rest curves rank the images: the probabilities.

    Of two classes, rounding can tie one column where it does not tie the other (1e-20 against 1 - 1e-20), so
    the second column ranks for both and the two AUCs are equal.
    """
    if probabilities.shape[1] == 2:
        return np.stack([-probabilities[:, 1], probabilities[:, 1]], axis=1)
    return probabilities


def check(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Check labels and probabilities that sum to one; return them as int64 and float64."""
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    n, k = len(labels), len(classes)
    if k < 2 or len(set(classes)) < k:
        raise HemfError(f"metrics need two or more classes with different names, got {list(classes)}")
    if n == 0:
        raise HemfError("metrics need at least one image, got none")
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer) or probabilities.shape != (n, k):
        raise HemfError(
            f"metrics need N integer labels and N x {k} probabilities, got {labels.dtype} {labels.shape} and "
            f"{probabilities.shape}"
        )
    if labels.min() < 0 or labels.max() >= k:
        raise HemfError(f"labels must lie in 0..{k - 1}, got {labels.min()}..{labels.max()}")
    if not ((probabilities >= 0).all() and np.allclose(probabilities.sum(1), 1, atol=1e-3)):
        raise HemfError(
            "probabilities must be finite, not negative and sum to one in each row: apply softmax"
        )
    return labels.astype(np.int64), probabilities


def log_loss_of(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return minus the logarithm of the true class's probability, bounded as scikit-learn does; N values."""
    smallest = np.finfo(probabilities.dtype).eps
    return -np.log(np.clip(probabilities[np.arange(len(labels)), labels], smallest, 1 - smallest))


def measure(value: SupportsFloat, n: int) -> dict[str, Any]:
    return {"value": float(value), "n": int(n)}


def undefined(reason: str, n: int = 0) -> dict[str, Any]:
    return {"value": None, "n": int(n), "reason": reason}


def proportion(hits: int, n: int) -> dict[str, Any]:
    """Return hits / n with Wilson's 95% interval."""
    interval = binomtest(int(hits), int(n)).proportion_ci(0.95, method="wilson")
    return measure(hits / n, n) | {"ci95": [float(interval.low), float(interval.high)]}


def class_metrics(k: int, confusion: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Return one-vs-rest measures of class ``k`` from the K x K counts and the N scores of that class."""
    positives, predicted, hits = confusion[k].sum(), confusion[:, k].sum(), confusion[k, k]
    n, of_class = confusion.sum(), labels == k
    negatives, either = n - positives, positives + predicted - hits
    if not positives:
        absent = {name: undefined(ABSENT) for name in CLASS_MEASURES}
        return absent | {"specificity": proportion(n - predicted, n)}
    values = {
        "precision": proportion(hits, predicted) if predicted else undefined(NEVER_PREDICTED),
        "recall": proportion(hits, positives),
        "f1": measure(2 * hits / (positives + predicted), either),
    }
    if not negatives:
        return values | {name: undefined(ONE_CLASS) for name in CLASS_MEASURES if name not in values}
    return values | {
        "specificity": proportion(negatives - (predicted - hits), negatives),
        "roc_auc": measure(sk.roc_auc_score(of_class, scores), n),
        "average_precision": measure(sk.average_precision_score(of_class, scores), n),
    }


def split_metrics(
    labels: np.ndarray, probabilities: np.ndarray, present: np.ndarray, shown: list[dict[str, Any]]
) -> dict[str, Any]:
    """Measure the whole split; averages go over the classes ``present``, whose measures are ``shown``."""
    n, predictions = len(labels), probabilities.argmax(1)

    def average(function: Any, how: str) -> dict[str, Any]:
        return measure(function(labels, predictions, labels=present, average=how, zero_division=0), n)

    def mean_of(name: str) -> dict[str, Any]:
        values = [one[name]["value"] for one in shown]
        return undefined(ONE_CLASS, n) if None in values else measure(np.mean(values), n)

    several = len(present) > 1
    rows = probabilities / probabilities.sum(1, keepdims=True)  # float32 rows sum to one only to 1e-7
    recall_macro = average(sk.recall_score, "macro")
    return {
        "accuracy": proportion((labels == predictions).sum(), n),
        "balanced_accuracy": dict(recall_macro),
        "precision_macro": average(sk.precision_score, "macro"),
        "precision_weighted": average(sk.precision_score, "weighted"),
        "recall_macro": recall_macro,
        "recall_weighted": average(sk.recall_score, "weighted"),
        "f1_macro": average(sk.f1_score, "macro"),
        "f1_weighted": average(sk.f1_score, "weighted"),
        "specificity_macro": mean_of("specificity"),
        "mcc": measure(sk.matthews_corrcoef(labels, predictions), n) if several else undefined(ONE_CLASS, n),
        "kappa": measure(sk.cohen_kappa_score(labels, predictions), n)
        if several
        else undefined(ONE_CLASS, n),
        "roc_auc_macro": mean_of("roc_auc"),
        "average_precision_macro": mean_of("average_precision"),
        "log_loss": measure(sk.log_loss(labels, rows, labels=range(rows.shape[1])), n),
    }
