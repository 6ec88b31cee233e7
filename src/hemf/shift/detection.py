"""Measures an out-of-distribution score: false alarms on own images, and what it notices of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemf.metrics.bootstrap import Draws, resample, units_of
from hemf.metrics.classification import proportion
from hemf.metrics.resampled import weighted_auc


@dataclass(frozen=True)
class Scores:
    """Unfamiliarity of N images.

    Args:
        values: N, above 1 beyond the model's limit.
        groups: patient or lesion of each; empty where unknown.
    """

    values: np.ndarray
    groups: Sequence[str]

    def warned(self) -> dict[str, Any]:
        """Return the share above the limit with Wilson's interval, and how many patients there are."""
        known = {group for group in self.groups if group}
        return proportion(int((self.values > 1).sum()), len(self.values)) | {"groups": len(known) or None}


@dataclass(frozen=True)
class Detection:
    """How well a score tells other images from a run's own.

    Args:
        run: what the run is called.
        split: the side of its data that its own images are of.
        score: how it was fitted, as in the model's ``config.json``; None of several models.
        own: share of the run's own images that it warns of, its false alarms.
        others: by name, ``warned`` and ``roc_auc`` of other images.
    """

    run: str
    split: str
    score: Mapping[str, Any] | None
    own: dict[str, Any]
    others: dict[str, dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        named = {"run": self.run, "split": self.split, "score": self.score and dict(self.score)}
        return named | {"false_alarms": self.own, "others": self.others}


def against(own: Scores, other: Scores, draws: Draws) -> dict[str, Any]:
    """Measure how well a score tells other images from a run's own.

    Returns:
        ``warned``, the share of the others above the limit, and ``roc_auc`` of the score, with a 95% interval
        from a bootstrap of patients or lesions where they are known; it is Wilson's lower end of the number
        of other images where every one of them lies above all own ones, so that all resamples agree.
    """
    values = np.concatenate([own.values, other.values])
    labels = np.repeat([0, 1], [len(own.values), len(other.values)])
    groups = [f"own {g}" if g else "" for g in own.groups] + [f"other {g}" if g else "" for g in other.groups]
    value = float(weighted_auc(labels == 1, values, np.ones((len(values), 1)))[0])
    found = [
        weighted_auc(labels == 1, values, weights) for weights in resample(units_of(labels, groups), draws)
    ]
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    if low == high:
        low, high = proportion(round(value * len(other.values)), len(other.values))["ci95"]
    auc = {"value": value, "n": len(values), "ci95": [float(low), float(high)]}
    return {"warned": other.warned(), "roc_auc": auc}
