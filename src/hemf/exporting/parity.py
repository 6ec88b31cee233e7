"""Measures an export beside the model that it was made from, and judges the difference."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws
from hemf.metrics.comparison.compare import compare_predictions
from hemf.tasks import MULTICLASS

LARGEST_DIFFERENCE = 1e-4
"""Of a probability, in an export whose numbers have the model's own precision."""
MARGIN = 0.5
"""Points of accuracy, and hundredths of ROC AUC, that an export of lower precision may lose."""
MEASURES = {"accuracy": "accuracy", "roc_auc_macro": "ROC AUC"}


def parity_of(original: Predictions, exported: Predictions, draws: Draws) -> dict[str, Any]:
    """Return how far an export is from its model on the same images.

    Args:
        original: what the model says.
        exported: what the export says.
        draws: the bootstrap's, of patients or lesions where they are known.

    Returns:
        ``n``, ``largest_difference`` and ``mean_difference`` of the calibrated probabilities, ``same_class``
        (number of images), and for accuracy and macro ROC AUC ``original``, ``export``, ``change`` (the
        export's less the original's) and its ``ci95`` (None where no resample tells the two apart, or images
        are too few), ready for JSON. With an out-of-distribution score also ``unfamiliarity``: its
        ``largest_difference``, and in how many images the ``same_warning``.
    """
    apart = np.abs(original.probabilities - exported.probabilities)
    found = {
        "n": len(original.paths),
        "largest_difference": float(apart.max()),
        "mean_difference": float(apart.mean()),
        "same_class": int(np.all(np.atleast_2d(original.decisions == exported.decisions), axis=0).sum()),
    }
    ours, theirs = original.unfamiliarity, exported.unfamiliarity
    if ours is not None and theirs is not None:
        found["unfamiliarity"] = {
            "largest_difference": float(np.abs(ours - theirs).max()),
            "same_warning": int(((ours > 1) == (theirs > 1)).sum()),
        }
    if original.task is not MULTICLASS:
        return found
    compared = compare_predictions(["export", "original"], [[exported], [original]], list(MEASURES), draws)
    (pair,), (theirs, ours) = compared["pairs"], compared["models"]
    for name in MEASURES:
        change = pair["bootstrap"][name]
        found[name] = {
            "original": ours["metrics"][name]["value"],
            "export": theirs["metrics"][name]["value"],
            "change": change["difference"],
            "ci95": change["ci95"],
        }
    return found


def shortcomings(parity: Mapping[str, Any], precision: str, margin: float) -> list[str]:
    """Say in sentences why an export should not be used; empty where it may.

    Args:
        parity: see ``parity_of``.
        precision: format of the export's numbers.
        margin: points that it may lose, where that is not ``fp32``.
    """
    other = parity.get("other_size", {}).get("largest_difference", 0.0)
    largest = max(parity["largest_difference"], other)
    if precision == "fp32":
        why = f"a probability differs by {largest:.1e}, more than {LARGEST_DIFFERENCE:g}"
        return [why] if largest > LARGEST_DIFFERENCE else []
    found = []
    for name, words in MEASURES.items():
        change = parity.get(name, {}).get("change")
        if change is not None and -100 * change > margin:
            lost = f"{words} falls by {-100 * change:.1f} points{upper_limit(parity[name])}"
            found.append(f"{lost}, more than the margin of {margin:g}")
    return found


def upper_limit(measured: Mapping[str, Any]) -> str:
    """Return in words how much may be lost, by the 95% interval of a change; empty where there is none."""
    if measured["ci95"] is None:
        return ""
    return f" (a loss of at most {max(0.0, -100 * measured['ci95'][0]):.1f} points by its 95% interval)"
