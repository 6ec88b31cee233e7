"""A run that begins with a linear probe and goes on from it keeps the better of the two."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from hemf.calibration.temperature import fit_temperature
from hemf.config.run_config import RunConfig
from hemf.core.files import whole_file, write_json
from hemf.core.text import counted
from hemf.core.untrusted import read_json
from hemf.data.loading.datamodule import ImageData
from hemf.inference.load import TrainedModel
from hemf.inference.stream import InferenceOptions, predict_samples
from hemf.losses import balanced_weights
from hemf.metrics.classification import log_loss_of
from hemf.runs.environment import read_environment
from hemf.training.callbacks.checkpoints import read_checkpoint, restore
from hemf.training.lightning import first_device
from hemf.training.module import ImageClassifier

PROBE = Path("checkpoints", "probe.ckpt")


def keep_probe(path: Path, classifier: ImageClassifier) -> None:
    """Write the probe that a run begins with as a checkpoint, to be compared with what follows it."""
    with whole_file(path / PROBE) as temporary:
        torch.save({"state_dict": classifier.state_dict()}, temporary)
    classifier.train()


def probe_kept(path: Path) -> dict[str, float]:
    """Return the validation metrics of the probe if a run that went on from it keeps it; else nothing."""
    about = read_json(path / "probe.json") if (path / "probe.json").is_file() else {}
    return about["best"] if about.get("compared", {}).get("kept") == "probe" else {}


def better_of_probe_and(
    tuned: Path,
    console: Console,
    path: Path,
    config: RunConfig,
    images: ImageData,
    classifier: ImageClassifier,
) -> Path:
    """Choose between the probe that a run began with and its best epoch; ``probe.json`` notes it.

    Both are calibrated by a temperature. The epoch has to have the lower log-loss on the validation images by
    more than one standard error of the difference, counted by patient or lesion where they are known: it was
    chosen among many on these images, and the simpler model is the safer one (the rule of one standard error,
    Breiman et al. 1984). With balanced class weights the classes count the same here too.

    Args:
        tuned: checkpoint of the best epoch.
        console: where to say it.
        path: the run's folder.
        config: its options.
        images: its images.
        classifier: its model, which is changed.

    Returns:
        The checkpoint to keep.
    """
    assert images.val_split, "build refuses a run without"
    samples = images.samples(images.val_split)
    weights = np.ones(len(samples))
    if config.class_weights == "balanced":
        of_class = balanced_weights(images.class_counts(images.val_split)).double().numpy()
        weights = of_class[[images.data.classes.index(s.label) for s in samples]]
    losses = []
    for checkpoint in (path / PROBE, tuned):
        restore(classifier, read_checkpoint(checkpoint), checkpoint)
        losses.append(weights * _log_losses(path, config, images, classifier))
    groups = [s.group or s.path for s in samples]
    better, error = paired_difference(losses[0], losses[1], groups)
    keeps_probe = better <= error
    values = {"probe": losses[0].mean(), "tuned": losses[1].mean(), "difference": better, "error": error}
    about = read_json(path / "probe.json")
    compared = {"kept": "probe" if keeps_probe else "tuned"} | {k: float(v) for k, v in values.items()}
    write_json(path / "probe.json", about | {"compared": compared})
    console.print(
        f"log-loss on {counted(len(samples), 'validation image')}: probe {values['probe']:.3f}, tuned "
        f"{values['tuned']:.3f}, better by {better:.3f} (standard error {error:.3f}): the "
        + ("probe is kept, as the gain is not beyond one standard error" if keeps_probe else "tuned is kept")
    )
    return path / PROBE if keeps_probe else tuned


def paired_difference(one: np.ndarray, other: np.ndarray, groups: Sequence[str]) -> tuple[float, float]:
    """Return by how much ``other`` is lower than ``one`` on average, and the standard error of that.

    Args:
        one: N values.
        other: N values for the same images.
        groups: patient or lesion of each, whose images count together.
    """
    difference = one - other
    _, unit = np.unique(np.array(groups), return_inverse=True)
    sums = np.bincount(unit, difference - difference.mean())
    spread = len(sums) / max(len(sums) - 1, 1) * np.square(sums).sum()
    return float(difference.mean()), float(np.sqrt(spread) / len(difference))


def _log_losses(path: Path, config: RunConfig, images: ImageData, classifier: ImageClassifier) -> np.ndarray:
    """Return the log-loss of each validation image, of the model calibrated on them."""
    precision, device = read_environment(path)["precision"], first_device(config)
    options = InferenceOptions(config.batch_size, config.workers, precision, device)
    task = classifier.task
    trained = TrainedModel(classifier.model, images.data.classes, images.spec, config.model, task=task)
    samples = images.samples(images.val_split or "")
    found = predict_samples(trained, images.data, samples, options, "comparing")
    assert isinstance(found.logits, torch.Tensor), "a network's predictions have them"
    temperature = fit_temperature(found.logits.numpy(), found.labels) or 1.0
    return log_loss_of(found.labels, task.probabilities(found.logits, temperature).numpy())
