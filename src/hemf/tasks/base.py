"""What a task is: how labels become targets and a model's outputs become probabilities and decisions.

What the upper layers do for a task (validation metrics, calibration, measures, reports) is registered there,
under the task's name.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Logits = TypeVar("Logits", Tensor, np.ndarray)


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
        """Return the number of outputs of a model of so many classes."""
        ...

    def encode(self, label: str, classes: Sequence[str]) -> Any:
        """Return an image's label as the target of losses and metrics: a number, or an array."""
        ...

    def decode(self, target: Any, classes: Sequence[str]) -> str:
        """Return a target or a decision as a label."""
        ...

    def probabilities(self, logits: "Logits", temperature: float = 1.0) -> "Logits":
        """Turn logits (..., outputs), divided by a temperature, into probabilities (..., K) in float64.

        A tensor becomes a tensor. An array, which is what an export gives where torch may be missing, becomes
        an array; a task that knows tensors alone has no exports.
        """
        ...

    def logits(self, probabilities: "Tensor") -> "Tensor":
        """Return finite logits that have these probabilities (..., K), for means of probabilities."""
        ...

    def decide(self, probabilities: "np.ndarray") -> "np.ndarray":
        """Return the decisions of N images, encoded like their labels, from their N x K probabilities."""
        ...
