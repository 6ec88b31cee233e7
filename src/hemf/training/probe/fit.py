"""The linear probe: a logistic regression on the features of a network whose other weights stay as they are.

Every training image is seen once as validation sees it and once mirrored. How strongly the regression is held
back is chosen by the log-loss of cross-validation within the training images, with no patient or lesion on
both sides. The result is the network's own last layer, so that a probed model is a model like any other.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.data.image.decode import ImageMode
from hemf.data.image.read import read_image
from hemf.data.loading.datamodule import ImageData
from hemf.data.preprocessing import InputSpec
from hemf.inference.features import features_of
from hemf.runs.environment import read_environment
from hemf.training.lightning import first_device
from hemf.training.validation_metrics import VALIDATION_METRICS

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

STRENGTHS = tuple(float(10**power) for power in np.arange(-4.0, 0.5, 0.5))
"""Inverse strengths of the penalty (scikit-learn's C) that are tried, on standardised features."""
FOLDS = 5


@dataclass(frozen=True)
class Probe:
    """A last layer, and how it was chosen.

    Args:
        weight: K x D.
        bias: K.
        strength: inverse strength of the penalty.
        log_losses: by strength, the log-loss of cross-validation; empty where there were too few images.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    log_losses: dict[float, float]


def last_layer(model: "TimmModel", spec: InputSpec) -> nn.Linear:
    """Return the linear layer that makes logits of what ``Features`` gives.

    Raises:
        HemfError: the network has none, so that it cannot be probed.
    """
    layer = model.get_classifier()
    if isinstance(layer, nn.Linear) and layer.bias is not None:
        with torch.inference_mode():
            maps = model.eval().forward_features(torch.zeros(1, *spec.input_size))
            whole, apart = model.forward_head(maps), model.forward_head(maps, pre_logits=True)
            if apart.shape == (1, layer.in_features) and torch.allclose(layer(apart), whole, atol=1e-4):
                return layer
    raise HemfError(
        f"{type(model).__name__} does not end in one linear layer with a bias, so it cannot be probed; leave "
        "out --probe"
    )


def train_probe(
    console: Console, path: Path, config: RunConfig, images: ImageData, model: "TimmModel"
) -> dict[str, float]:
    """Fit a run's last layer on the features of its training images, and write how it was chosen.

    Args:
        console: where to say what was tried.
        path: the run's folder, which gets ``probe.json``.
        config: its options.
        images: its images.
        model: its network; its last layer is changed.

    Returns:
        The validation metrics.

    Raises:
        HemfError: the network does not end in one linear layer, or an image cannot be read.
    """
    layer, data = last_layer(model, images.spec), images.data
    how = {
        "workers": config.workers,
        "device": first_device(config),
        "precision": read_environment(path)["precision"],
    }

    def features(split: str, mirrored: bool) -> np.ndarray:
        files = [data.path(sample) for sample in images.samples(split)]
        words = f"{split} images" + (", mirrored" if mirrored else "")
        read = _read_mirrored if mirrored else read_image
        return features_of(model, files, images.spec, words, read, **how)

    samples = images.samples("train")
    views = np.stack([features("train", mirrored) for mirrored in (False, True)])
    labels = np.array([data.classes.index(sample.label) for sample in samples])
    groups = [sample.group for sample in samples]
    balanced = config.class_weights == "balanced"
    found = fit_probe(views, labels, groups, config.seed, balanced, on_try=console.print)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(found.weight))
        assert layer.bias is not None, "last_layer gives no other"
        layer.bias.copy_(torch.from_numpy(found.bias))
    best = {"epoch": 1.0 if config.probe else 0.0}
    if images.val_split:
        measured = VALIDATION_METRICS.find(config.task)(len(data.classes))
        known = torch.from_numpy(features(images.val_split, False)).float().to(layer.weight.device)
        labels = torch.tensor([data.classes.index(s.label) for s in images.samples(images.val_split)])
        measured.update(layer(known).detach().cpu(), labels)
        best |= {f"val_{name}": float(value) for name, value in measured.compute().items()}
    write_json(path / "probe.json", {"strength": found.strength, "log_loss": found.log_losses, "best": best})
    return best


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    seed: int = 0,
    balanced: bool = False,
    strengths: Sequence[float] = STRENGTHS,
    on_try: Callable[[str], None] = lambda line: None,
) -> Probe:
    """Fit the last layer, with the strength of its penalty chosen by grouped cross-validation.

    Args:
        features: M x N x D: M views of each of N images.
        labels: N class indices; every class occurs.
        groups: patient or lesion of each image; empty where unknown.
        seed: seed of the folds.
        balanced: whether the classes weigh the same.
        strengths: what is tried.
        on_try: called with a line for each strength.
    """
    views = len(features)
    units = np.array([group or f"image {i}" for i, group in enumerate(groups)])
    mean, deviation = features.mean((0, 1)), features.std((0, 1))
    scaled = (features - mean) / np.where(deviation > 0, deviation, 1.0)
    log_losses: dict[float, float] = {}
    folds = list(_folds(labels, units, seed))
    for strength in strengths if folds else ():
        losses = np.empty(len(labels))
        for train, test in folds:
            rows = np.concatenate(scaled[:, train])
            fitted = _regression(rows, np.tile(labels[train], views), strength, balanced)
            likely = fitted.predict_log_proba(scaled[0, test])
            losses[test] = -likely[np.arange(len(test)), labels[test]]
        log_losses[strength] = float(losses.mean())
        on_try(f"strength {strength:g}: log-loss {log_losses[strength]:.4f} in cross-validation")
    best = min(log_losses, key=log_losses.__getitem__) if log_losses else 1e-2
    fitted = _regression(np.concatenate(scaled), np.tile(labels, views), best, balanced)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:  # of two classes there is one row, for the second
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / np.where(deviation > 0, deviation, 1.0)
    return Probe(weight, bias - weight @ mean, best, log_losses)


def _regression(rows: np.ndarray, labels: np.ndarray, strength: float, balanced: bool) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    weights = "balanced" if balanced else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits change no decision
        return LogisticRegression(C=strength, class_weight=weights, max_iter=500).fit(rows, labels)


def _folds(labels: np.ndarray, units: np.ndarray, seed: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Return folds of the images in which each class is on the training side; none where that cannot be."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(set(units[labels == k])) for k in np.unique(labels))
    if fewest < 2:
        return ()
    folds = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed).split(
        units, labels, units
    )
    found = list(folds)
    whole = all(len(set(labels[train])) == len(set(labels)) for train, _ in found)
    return found if whole else ()


def _read_mirrored(path: Path, mode: ImageMode, window: str) -> Image.Image:
    return read_image(path, mode, window).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
