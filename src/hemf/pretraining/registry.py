"""Methods of pretraining by name: a new one is one file of this package with one registration."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from hemf.core.errors import HemfError
from hemf.core.registry import Registry
from hemf.data.preprocessing import InputSpec
from hemf.training.distillation import Teacher

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel


class Method(nn.Module):
    """What a network learns from a batch of images without labels.

    What it needs beside the network, such as a projection head, is part of its state, and what of that has
    gradients is learnt along.

    Args:
        network: the network in training, which gives B x ``num_features``; it is no part of this module.
        spec: its input.
        teacher: a stronger network, where one is given.
    """

    views: int = 2
    """How many times each image is drawn into a batch, each time augmented anew."""

    def __init__(self, network: "TimmModel", spec: InputSpec, teacher: Teacher | None) -> None:
        super().__init__()
        self.width = cast("int", network.num_features)
        if teacher is not None and not isinstance(self, TaughtMethod):
            name = type(self).__name__.lower()
            raise HemfError(
                f"--method {name} learns from no --teacher; leave it out, or give --method distill"
            )

    def forward(self, network: "TimmModel", images: Tensor) -> Tensor:
        """Return the scalar that a step lessens.

        Args:
            network: the network in training.
            images: (views * B) x C x H x W, normalised; the first views of all images, then the second ...
        """
        features = network(images).float()
        with torch.autocast(images.device.type, enabled=False):  # statistics over a batch need their digits
            return self.compare(*features.chunk(self.views))

    def compare(self, *features: Tensor) -> Tensor:
        """Return the same from the features of each view, B x ``width`` in float32."""
        raise NotImplementedError

    def after_step(self, network: "TimmModel") -> None:
        """Follow the network after each step; most methods need not."""


class TaughtMethod(Method):
    """A method that learns from a teacher."""


METHODS: Registry[type[Method]] = Registry("method")


def lightly_is_there(method: str) -> None:
    """Check that the library of self-supervised parts is installed.

    Raises:
        HemfError: it is not.
    """
    from importlib.util import find_spec

    if find_spec("lightly") is None:
        raise HemfError(f"--method {method} needs lightly; pip install 'hemf[pretrain]' fetches it")
