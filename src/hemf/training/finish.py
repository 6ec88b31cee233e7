"""The end of a training: the model that was kept, calibrated, and written for use."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import nn

from hemf.calibration.fit import CALIBRATIONS, describe
from hemf.calibration.record import Calibration
from hemf.config.run_config import RunConfig
from hemf.core.precision import Precision
from hemf.core.text import one_line
from hemf.data.dataset import DataSet
from hemf.data.loading.datamodule import ImageData
from hemf.data.preprocessing import InputSpec
from hemf.familiarity.record import KEY, Familiarity
from hemf.inference.features import familiarity_of
from hemf.inference.load import TrainedModel
from hemf.inference.stream import InferenceOptions, predict_samples
from hemf.models.hub import save_model
from hemf.runs.card import card
from hemf.runs.environment import read_environment
from hemf.runs.folder import Run
from hemf.tasks import TASKS
from hemf.training.callbacks.checkpoints import Progress, read_checkpoint, restore
from hemf.training.lightning import first_device
from hemf.training.module import ImageClassifier
from hemf.training.network import model_args
from hemf.training.probe.compare import better_of_probe_and, probe_kept
from hemf.weights.origin import origin_of

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel


def finish(
    console: Console, path: Path, config: RunConfig, images: ImageData, classifier: ImageClassifier
) -> Run:
    """Write ``model/`` from the checkpoint that was kept."""
    kept = path / "checkpoints" / ("best.ckpt" if images.val_split else "last.ckpt")
    if config.probe_first:
        kept = better_of_probe_and(kept, console, path, config, images, classifier)
    state = read_checkpoint(kept)
    best = (config.probe_first and probe_kept(path)) or Progress.of(state, kept).best
    restore(classifier, state, kept)
    return write_model(console, path, config, images.data, classifier.model, best)


def write_model(
    console: Console,
    path: Path,
    config: RunConfig,
    data: DataSet,
    model: "TimmModel",
    best: dict[str, float],
) -> Run:
    """Write ``model/``, calibrated on the validation images."""
    model = model.cpu().eval().to(memory_format=torch.contiguous_format)
    own = _calibrated(console, path, config, data, model)
    if known := _familiarity(console, path, config, data, model):
        known.save(path / "model")
        own |= {KEY: known.to_config()}
    save_model(
        model,
        path / "model",
        architecture=config.model,
        model_args=model_args(config),
        classes=data.classes,
        pretrained_cfg=InputSpec.from_config(config).to_pretrained_cfg(),
        extra={"hemf": _origin(config, data, best) | own},
        card=partial(card, path, config, data),
    )
    _report(console, path, config, best)
    return Run(path, best)


def _calibrated(
    console: Console, path: Path, config: RunConfig, data: DataSet, model: nn.Module
) -> dict[str, Any]:
    """Return the calibration on the validation images, as an entry of the model's configuration.

    It is made before the model is written, so that a run has both or, when killed, makes both again; whatever
    goes wrong with it, the model is written.
    """
    n = len(data.subset("val"))
    if n and config.task in CALIBRATIONS:
        console.print(f"calibrating on the {n} validation images")
    precision = read_environment(path)["precision"]
    try:
        found = calibrate_on_validation(config, data, model, precision, first_device(config))
    except Exception as error:
        reason = one_line(error)
        again = f"hemf calibrate {shlex.quote(str(path))}"
        console.print(f"warning: not calibrated: {reason}; {again} tries again")
        return {}
    finally:
        model.cpu()
    if found is None:
        return {}
    console.print(found.summary())
    return {"calibration": found.to_config()}


def _familiarity(
    console: Console, path: Path, config: RunConfig, data: DataSet, model: nn.Module
) -> Familiarity | None:
    """Fit the out-of-distribution score; whatever goes wrong with it, the model is written."""
    if not data.subset("val"):
        return None
    options = {
        "batch_size": config.batch_size,
        "workers": config.workers,
        "precision": read_environment(path)["precision"],
        "device": first_device(config),
    }
    try:
        found = familiarity_of(model, data, InputSpec.from_config(config), **options)
    except Exception as error:
        again = f"hemf ood {shlex.quote(str(path))}"
        console.print(f"no out-of-distribution score: {one_line(error)}; {again} tries again")
        return None
    finally:
        model.cpu()
    console.print(found.summary())
    return found


def calibrate_on_validation(
    config: RunConfig, data: DataSet, model: nn.Module, precision: Precision, device: str
) -> Calibration | None:
    """Calibrate a run's model on its validation images, with the default settings.

    Args:
        config: the run's options.
        data: its images, with their split.
        model: the network; it is moved to ``device``.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        device: where to compute.

    Returns:
        None where there are no validation images, or the task knows no calibration.
    """
    samples = data.subset("val")
    if not samples or config.task not in CALIBRATIONS:
        return None
    spec, task = InputSpec.from_config(config), TASKS.find(config.task)
    trained = TrainedModel(model, data.classes, spec, config.model, task=task)
    options = InferenceOptions(config.batch_size, config.workers, precision, device)
    found = predict_samples(trained, data, samples, options, "calibrating")
    about = describe(data, samples, "val", chose_checkpoint=config.val_split == "val")
    fit = CALIBRATIONS.find(task.name)
    return fit(found.logits, found.labels, found.classes, about, groups=found.groups)


def _origin(config: RunConfig, data: DataSet, best: dict[str, float]) -> dict[str, Any]:
    """Return where a model comes from and how it sees DICOM, for those who find it without its run."""
    return {
        "task": config.task,
        "window": config.window,
        "data": data.name,
        "data_hash": data.hash,
        "split": data.info.get("split", {}),
        "val_split": config.val_split,
        "epoch": best["epoch"],
        "first_weights": origin_of(config),
    }


def _report(console: Console, path: Path, config: RunConfig, best: dict[str, float]) -> None:
    value = best.get(f"val_{config.monitor}")
    which = f", best {config.val_split} {config.monitor} {value:.4f}" if value is not None else ""
    probe = config.probe or best["epoch"] == 0
    kept = "probe" if probe else f"kept epoch {best['epoch']} of {config.epochs}"
    console.print(f"{kept}{which}: {path / 'model'}")
    console.print(f"next: hemf evaluate {shlex.quote(str(path))}")
