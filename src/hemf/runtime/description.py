"""What a model's ``config.json`` says beside its network: classes, input, task and calibration."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from hemf.calibration.record import UNCALIBRATED, Calibration
from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.data.dataset import check_class_names
from hemf.data.preprocessing import InputSpec
from hemf.tasks import MULTICLASS, TASKS, Task


class Said(NamedTuple):
    """What the outputs for N images say.

    Args:
        logits: N x K, as the network gives them: a tensor or an array.
        disagreement: of the members of an ensemble, N from 0 (none) to 1, NaN where a single one speaks; None
            for one model.
        unfamiliarity: how unlike the training images each is, N, above 1 beyond the model's limit; None where
            the model keeps no score.
    """

    logits: Any
    disagreement: np.ndarray | None = None
    unfamiliarity: np.ndarray | None = None


def apart(outputs: Any, scored: bool) -> tuple[Any, Any]:
    """Part outputs, (..., K + 1), into logits, (..., K), and unfamiliarity, (...), or None."""
    return (outputs[..., :-1], outputs[..., -1]) if scored else (outputs, None)


class OneModel:
    """What a model that speaks alone answers where an ensemble has more to say."""

    @property
    def members(self) -> tuple[Self, ...]:
        """The models that speak: this one."""
        return (self,)

    @property
    def scored(self) -> bool:
        """Whether the network's outputs end in the unfamiliarity of the image."""
        raise NotImplementedError

    def combined(self, outputs: Any, speaking: np.ndarray | None = None) -> "Said":
        """Return what the network's outputs say: a single model has nothing to unite."""
        logits, score = apart(outputs, self.scored)
        return Said(logits, None, None if score is None else np.asarray(score))

    def speaking_of(self, image: Any) -> None:
        """Return which members may speak of an image: there is but one."""


@dataclass(frozen=True)
class Description:
    """What goes with a network.

    Args:
        classes: names of its classes, in the order of its outputs.
        spec: its input.
        task: what it is asked about an image.
        calibration: its temperature, prediction sets and operating points; empty where it has none.
    """

    classes: list[str]
    spec: InputSpec
    task: Task
    calibration: Calibration

    @classmethod
    def of(cls, config: Mapping[str, Any], outputs: int, folder: str | os.PathLike) -> Self:
        """Read it from a model's configuration, which may come from anyone.

        Args:
            config: what ``config.json`` holds.
            outputs: number of the network's outputs.
            folder: where it lies, for messages.

        Raises:
            HemfError: it names no classes, a reserved one or an unknown task, its input makes no sense, or
                its calibration is damaged.
        """
        spec = input_of(config, folder)
        classes, own = config.get("label_names") or [], config.get("hemf") or {}
        name = own.get("task", MULTICLASS.name)
        if not isinstance(name, str):
            raise HemfError(f"the task in {folder}/config.json is not a name; correct it")
        task = TASKS.find(name)
        if len(set(classes)) != len(classes) or task.outputs(len(classes)) != outputs:
            raise HemfError(
                f"{folder} names {counted(len(set(classes)), 'class', 'classes')} for {outputs} outputs; "
                "set label_names in its config.json, in the order of the outputs"
            )
        check_class_names(classes, str(folder))
        return cls(list(classes), spec, task, Calibration.from_config(config) or UNCALIBRATED)


def input_of(config: Mapping[str, Any], folder: str | os.PathLike) -> InputSpec:
    """Read a network's input from its configuration, whether it tells classes apart or was only pretrained.

    Args:
        config: what ``config.json`` holds.
        folder: where it lies, for messages.

    Raises:
        HemfError: the input makes no sense, or what says more about the model is damaged.
    """
    classes, own = config.get("label_names") or [], config.get("hemf") or {}
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise HemfError(f"label_names in {folder}/config.json is not a list of names; correct it")
    if not isinstance(own, dict):
        raise HemfError(f"the entry hemf in {folder}/config.json holds no names and values; correct it")
    return InputSpec.from_pretrained_cfg(config["pretrained_cfg"], own.get("window", "auto"))
