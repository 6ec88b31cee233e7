"""Predictions made up from labels and outputs."""

import numpy as np
import torch

from hemf.calibration.record import UNCALIBRATED, Calibration
from hemf.data.dataset import Sample
from hemf.inference.predictions import Predictions
from hemf.runtime.description import Said


def of_probabilities(
    labels: np.ndarray, probabilities: np.ndarray, groups: list[str] | None = None, classes=None
) -> Predictions:
    n, k = probabilities.shape
    names = [str(c) for c in range(k)] if classes is None else list(classes)
    return Predictions([str(i) for i in range(n)], labels, probabilities, groups or [""] * n, names)


def of_logits(
    labels: np.ndarray,
    logits: torch.Tensor,
    own: Calibration = UNCALIBRATED,
    groups: list[str] | None = None,
    classes=None,
) -> Predictions:
    names = [str(c) for c in range(logits.shape[1])] if classes is None else list(classes)
    groups = groups or [""] * len(labels)
    samples = [Sample(str(i), names[k], groups[i]) for i, k in enumerate(labels)]
    return Predictions.of(samples, Said(logits), names, own)
