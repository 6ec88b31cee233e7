"""Finds labels that are likely wrong, by predictions of a model that was not trained on the images.

Confident learning (Northcutt, Jiang, Chuang 2021, JAIR 70), as cleanlab computes it. The order is by the
probability of the label, adjusted by the mean confidence in its class: of planted errors among ISIC 2018's
labels it puts more first than cleanlab's other orders (``benchmarks/label_errors.py`` measures this one).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hemf.core.errors import HemfError

FEWEST = 5  # images that a class needs for its mean confidence to mean something


def likely_wrong(
    paths: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the images whose label is likely wrong, the likeliest first.

    Args:
        paths: N names of images.
        labels: N class indices.
        probabilities: N x K, of models that were not trained on the image.
        classes: names of the K classes.

    Returns:
        For each its ``path``, ``label``, ``suggested`` class, and the probability of both: ``confidence`` (in
        the label) and ``suggested_confidence``.

    Raises:
        HemfError: cleanlab is not installed, or a class has too few images.
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError as error:
        raise HemfError("likely wrong labels are found by cleanlab; pip install 'hemf[labels]'") from error
    counts = np.bincount(labels, minlength=len(classes))
    if few := [name for name, n in zip(classes, counts, strict=True) if n < FEWEST]:
        raise HemfError(
            f"the predictions hold fewer than {FEWEST} images of the class {few[0]}, too few to judge labels "
            "by; predict more images, best by cross-validation (hemf train --folds 5)"
        )
    listed = find_label_issues(labels, probabilities, n_jobs=1)
    quality = get_label_quality_scores(
        labels, probabilities, method="self_confidence", adjust_pred_probs=True
    )
    order = [i for i in np.argsort(quality, kind="stable") if listed[i]]
    suggested = probabilities.argmax(1)
    return [
        {
            "path": paths[i],
            "label": classes[labels[i]],
            "suggested": classes[suggested[i]],
            "confidence": float(probabilities[i, labels[i]]),
            "suggested_confidence": float(probabilities[i, suggested[i]]),
        }
        for i in map(int, order)
        if suggested[i] != labels[i]
    ]


def label_findings(
    run: str, how: str, predicted: int, images: int, wrong: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return what ``audit.json`` holds of labels.

    Args:
        run: what the run is called.
        how: which predictions they are, in words.
        predicted: how many images the run has predicted without having been trained on them.
        images: how many the data set has.
        wrong: see ``likely_wrong``.
    """
    return {"run": run, "predictions": how, "judged": predicted, "images": images, "likely_wrong": [*wrong]}
