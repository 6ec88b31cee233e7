"""Every image is of one of K classes."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from hemf.tasks.registry import TASKS

if TYPE_CHECKING:
    from torch import Tensor

    Logits = TypeVar("Logits", Tensor, np.ndarray)


class Multiclass:
    """One output a class, whose softmax is the class's probability; the most probable class is predicted."""

    name = "multiclass"
    losses: Collection[str] | None = None
    exclusive = True
    monitored: Mapping[str, Literal["min", "max"]] = {
        "loss": "min",
        "accuracy": "max",
        "balanced_accuracy": "max",
        "f1": "max",
        "roc_auc": "max",
    }

    def outputs(self, classes: int) -> int:
        """Return one for each class."""
        return classes

    def encode(self, label: str, classes: Sequence[str]) -> int:
        """Return the class's index."""
        return classes.index(label)

    def decode(self, target: int, classes: Sequence[str]) -> str:
        """Return the class's name."""
        return classes[target]

    def probabilities(self, logits: "Logits", temperature: float = 1.0) -> "Logits":
        """Return their softmax."""
        if isinstance(logits, np.ndarray):
            scaled = logits.astype(np.float64) / temperature
            powers = np.exp(scaled - scaled.max(-1, keepdims=True))
            return powers / powers.sum(-1, keepdims=True)
        return (logits.double() / temperature).softmax(-1)

    def logits(self, probabilities: "Tensor") -> "Tensor":
        """Return their logarithm."""
        return probabilities.clamp_min(1e-300).log()

    def decide(self, probabilities: "np.ndarray") -> "np.ndarray":
        """Return the most probable class, the first of equals."""
        return probabilities.argmax(1)


MULTICLASS = Multiclass()
TASKS.register(MULTICLASS.name)(MULTICLASS)
