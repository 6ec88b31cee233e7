"""What a task is: how labels become targets and a model's outputs become probabilities and decisions.

What the upper layers do for a task (validation metrics, calibration, measures, reports) is registered there,
under the task's name.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Task(Protocol):
    """One kind of question that a model answers about an image.

    Attributes:
        name: what the task is called in options and in a model's ``config.json``.
        losses: names of the losses that fit it; None for all that no other task names.
        exclusive: whether an image is of exactly one class, which MixUp, CutMix and the linear probe suppose.
        monitored: validation metrics that may choose the best checkpoint, each with its better end.
    """

    name: str
    losses: Collection[str] | None
    exclusive: bool
    monitored: Mapping[str, Literal["min", "max"]]

    def outputs(self, classes: int) -> int:
        """Number of outputs of a model of so many classes."""
        ...

    def encode(self, label: str, classes: Sequence[str]) -> Any:
        """An image's label as the target of losses and metrics: a number, or an array."""
        ...

    def decode(self, target: Any, classes: Sequence[str]) -> str:
        """A target or a decision as a label."""
        ...

    def probabilities(self, logits: "Tensor", temperature: float = 1.0) -> "Tensor":
        """Probabilities (..., K) in float64 of logits (..., outputs) that are divided by a temperature."""
        ...

    def decide(self, probabilities: "np.ndarray") -> "np.ndarray":
        """Decisions of N images, encoded like their labels, from their N x K probabilities."""
        ...
