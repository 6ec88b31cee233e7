"""Measures prediction sets on a split: how often they hold the truth, their size, what they refuse."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hemf.metrics.classification import ABSENT, measure, proportion, undefined

NEVER_ANSWERED = "never answered"
MEASURES = ("coverage", "mean_size", "abstained", "empty", "accuracy_answered")


def refusal_metrics(
    labels: np.ndarray, in_set: np.ndarray, predictions: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Measure prediction sets over a split and, under ``per_class``, over the images of each class.

    - ``coverage``: share of images whose set holds their class.
    - ``mean_size``: classes in a set.
    - ``abstained``: share of images whose set holds no class or several, so that the model does not answer;
      ``empty``: share whose set holds none.
    - ``accuracy_answered``: accuracy over the others.

    Shares carry Wilson's 95% interval, which takes images as independent.

    Args:
        labels: N class indices.
        in_set: N x K booleans.
        predictions: N class indices.
        classes: names of the K classes.
    """
    per_class = {
        name: {"n": int((labels == k).sum())} | _of(labels == k, labels, in_set, predictions)
        for k, name in enumerate(classes)
    }
    return _of(np.ones(len(labels), bool), labels, in_set, predictions) | {"per_class": per_class}


def _of(
    chosen: np.ndarray, labels: np.ndarray, in_set: np.ndarray, predictions: np.ndarray
) -> dict[str, Any]:
    """Return the measures over the ``chosen`` images."""
    labels, in_set, predictions = labels[chosen], in_set[chosen], predictions[chosen]
    n = len(labels)
    if not n:
        return {name: undefined(ABSENT) for name in MEASURES}
    sizes = in_set.sum(1)
    answered, right = sizes == 1, predictions == labels
    values = (
        proportion(in_set[np.arange(n), labels].sum(), n),
        measure(sizes.mean(), n),
        proportion((~answered).sum(), n),
        proportion((sizes == 0).sum(), n),
        proportion(right[answered].sum(), answered.sum()) if answered.any() else undefined(NEVER_ANSWERED),
    )
    return dict(zip(MEASURES, values, strict=True))
