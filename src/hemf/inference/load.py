"""A trained model with what is needed to use it, from its folder."""

import os
import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from torch import Tensor, nn

from hemf.calibration.record import UNCALIBRATED, Calibration
from hemf.config.options import TTA
from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.data.dataset import check_class_names
from hemf.data.preprocessing import InputSpec
from hemf.inference.tta import other_tta_line, with_views
from hemf.models.hub import load_model
from hemf.tasks import MULTICLASS, TASKS, Task

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel


@dataclass(frozen=True)
class TrainedModel:
    """A model with what is needed to use it.

    Args:
        model: the network, in evaluation mode.
        classes: names of its classes, in the order of its outputs.
        spec: its input.
        name: name of its architecture.
        calibration: its temperature, prediction sets and operating points; empty where it has none.
        task: what it is asked about an image.
        tta: the views of an image that its probabilities are averaged over.
    """

    model: nn.Module
    classes: list[str]
    spec: InputSpec
    name: str
    calibration: Calibration = UNCALIBRATED
    task: Task = MULTICLASS
    tta: TTA = "none"

    @cached_property
    def predictor(self) -> nn.Module:
        """What predicts: the network, or the network that is shown several views of each image."""
        return with_views(self.model, self.tta, self.spec, self.task)

    @property
    def inputs(self) -> InputSpec:
        """What ``predictor`` takes."""
        return self.spec

    @property
    def members(self) -> tuple[Self, ...]:
        """The models that speak: this one."""
        return (self,)

    @property
    def calibrated_under(self) -> TTA | None:
        """The test-time augmentation that its probabilities were calibrated under, if any."""
        return self.calibration.tta

    @property
    def notes(self) -> list[str]:
        """Sentences that whoever uses its predictions should know."""
        line = other_tta_line(self.tta, self.calibrated_under)
        return [line] if line else []

    def combined(self, outputs: Tensor, speaking: np.ndarray | None = None) -> tuple[Tensor, None]:
        """Return logits and disagreement of what ``predictor`` gives: a single model has nothing to unite."""
        return outputs, None

    def speaking_of(self, image: Any) -> None:
        """Return which members may speak of an image: there is but one."""


def load_trained(folder: str | os.PathLike, tta: TTA | None = None) -> TrainedModel:
    """Load the model in ``folder``, which holds ``model.safetensors`` and ``config.json``.

    Args:
        folder: the model's.
        tta: test-time augmentation; None for what its calibration was fitted under.

    Raises:
        HemfError: it cannot be loaded, names no classes, a reserved one or an unknown task, or its
            calibration is damaged.
    """
    model, spec, config = load_network(folder)
    classes, own = config.get("label_names") or [], config.get("hemf") or {}
    if not model.num_classes:
        then = f"hemf train --init {shlex.quote(str(folder))}"
        raise HemfError(f"{folder} is a pretrained network without classes; train it with {then}")
    name = own.get("task", MULTICLASS.name)
    if not isinstance(name, str):
        raise HemfError(f"the task in {folder}/config.json is not a name; correct it")
    task = TASKS.find(name)
    if len(set(classes)) != len(classes) or task.outputs(len(classes)) != model.num_classes:
        raise HemfError(
            f"{folder} names {counted(len(set(classes)), 'class', 'classes')} for {model.num_classes} "
            "outputs; set label_names in its config.json, in the order of the outputs"
        )
    check_class_names(classes, str(folder))
    calibration = Calibration.from_config(config) or UNCALIBRATED
    tta = calibration.tta or "none" if tta is None else tta
    return TrainedModel(model, list(classes), spec, config["architecture"], calibration, task, tta)


def load_network(folder: str | os.PathLike) -> tuple["TimmModel", InputSpec, dict[str, Any]]:
    """Load the network in a model's folder, whether it tells classes apart or was only pretrained.

    Returns:
        The network in evaluation mode, its input, and its configuration.

    Raises:
        HemfError: it cannot be loaded, or its configuration is damaged.
    """
    try:
        model, config = load_model(folder)
    except (ValueError, RuntimeError) as error:
        raise HemfError(f"cannot load the model in {folder}: {' '.join(str(error).split())}") from error
    classes, own = config.get("label_names") or [], config.get("hemf") or {}
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise HemfError(f"label_names in {folder}/config.json is not a list of names; correct it")
    if not isinstance(own, dict):
        raise HemfError(f"the entry hemf in {folder}/config.json holds no names and values; correct it")
    return model, InputSpec.from_pretrained_cfg(config["pretrained_cfg"], own.get("window", "auto")), config
