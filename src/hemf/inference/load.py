"""A trained model with what is needed to use it, from its folder."""

import os
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from hemf.calibration.record import UNCALIBRATED, Calibration
from hemf.config.options import TTA
from hemf.core.errors import HemfError
from hemf.core.text import one_line
from hemf.data.preprocessing import InputSpec
from hemf.familiarity.record import AGAIN, Familiarity
from hemf.inference.scored import Scored, look_size
from hemf.inference.tta import other_tta_line, with_views
from hemf.models.hub import load_model
from hemf.runs.folder import is_export
from hemf.runtime.description import Description, OneModel, input_of
from hemf.tasks import MULTICLASS, Task

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel


@dataclass(frozen=True)
class TrainedModel(OneModel):
    """A model with what is needed to use it.

    Args:
        model: the network, in evaluation mode.
        classes: names of its classes, in the order of its outputs.
        spec: its input.
        name: name of its architecture.
        calibration: its temperature, prediction sets and operating points; empty where it has none.
        task: what it is asked about an image.
        tta: the views of an image that its probabilities are averaged over.
        familiarity: its out-of-distribution score; None where it keeps none.
    """

    model: nn.Module
    classes: list[str]
    spec: InputSpec
    name: str
    calibration: Calibration = UNCALIBRATED
    task: Task = MULTICLASS
    tta: TTA = "none"
    familiarity: Familiarity | None = None

    @cached_property
    def predictor(self) -> nn.Module:
        """What predicts: the network, with its score, that is shown several views of each image."""
        network = self.model if self.familiarity is None else Scored(self.model, self.familiarity)
        return with_views(network, self.tta, self.spec, self.task, self.scored)

    @property
    def scored(self) -> bool:
        """Whether it also says how unlike its training images an image is."""
        return self.familiarity is not None

    @property
    def inputs(self) -> InputSpec:
        """What ``predictor`` takes."""
        return self.spec

    @property
    def calibrated_under(self) -> TTA | None:
        """The test-time augmentation that its probabilities were calibrated under, if any."""
        return self.calibration.tta

    @property
    def notes(self) -> list[str]:
        """Sentences that whoever uses its predictions should know."""
        line = other_tta_line(self.tta, self.calibrated_under)
        return [line] if line else []


def load_trained(folder: str | os.PathLike, tta: TTA | None = None) -> TrainedModel:
    """Load the model in ``folder``, which holds ``model.safetensors`` and ``config.json``.

    Args:
        folder: the model's.
        tta: test-time augmentation; None for what its calibration was fitted under.

    Raises:
        HemfError: it cannot be loaded, names no classes, a reserved one or an unknown task, or its
            calibration or its out-of-distribution score is damaged.
    """
    model, _, config = load_network(folder)
    if not model.num_classes:
        then = f"hemf train --init {shlex.quote(str(folder))}"
        raise HemfError(f"{folder} is a pretrained network without classes; train it with {then}")
    found = Description.of(config, model.num_classes, folder)
    tta = found.calibration.tta or "none" if tta is None else tta
    name = config["architecture"]
    known = Familiarity.load(folder, config)
    looks = look_size(found.spec.input_size[0])
    if known is not None and (len(known.mean), len(known.look_mean)) != (model.head_hidden_size, looks):
        raise HemfError(f"the out-of-distribution score in {folder} is of another network; {AGAIN}")
    return TrainedModel(model, found.classes, found.spec, name, found.calibration, found.task, tta, known)


def load_network(folder: str | os.PathLike) -> tuple["TimmModel", InputSpec, dict[str, Any]]:
    """Load the network in a model's folder, whether it tells classes apart or was only pretrained.

    Returns:
        The network in evaluation mode, its input, and its configuration.

    Raises:
        HemfError: it cannot be loaded, or its configuration is damaged.
    """
    if is_export(Path(folder)):
        raise HemfError(f"{folder} is an export, which can predict and be evaluated; for this give its run")
    try:
        model, config = load_model(folder)
    except (ValueError, RuntimeError) as error:
        raise HemfError(f"cannot load the model in {folder}: {one_line(error)}") from error
    return model, input_of(config, folder), config
