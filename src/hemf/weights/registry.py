"""Sources of weights by name: a new one is one file of this package with one registration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from hemf.core.registry import Registry


@dataclass(frozen=True)
class Weights:
    """A network's weights, and what is known of how they were made.

    Args:
        origin: where they come from, in words, with their licence where it is known.
        tensors: by the names that timm gives them.
        architecture: timm's name of the network that they were trained in; empty if that is not known.
        input: how images were brought to that network, in the words of timm's ``pretrained_cfg``.
        classes: names of the classes that its head tells apart; empty if they are not known.
    """

    origin: str
    tensors: Mapping[str, Tensor]
    architecture: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


WEIGHTS: Registry[Callable[[], Weights]] = Registry("source of weights")
