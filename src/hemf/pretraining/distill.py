"""Distillation without labels: to see images as a stronger network does, which has seen millions of others.

The maps of each stage are compared as in ``hemf train --teacher`` (Romero et al. 2015, arXiv:1412.6550), and
the pooled features, each standardised over the batch as features differ in size by orders of magnitude (as
Wei et al. 2022, arXiv:2205.14141, whiten theirs).
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hemf.core.errors import HemfError
from hemf.data.preprocessing import InputSpec
from hemf.pretraining.registry import METHODS, TaughtMethod
from hemf.training.distillation import MapDistance, Teacher, maps_of, shown_to

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel


@METHODS.register("distill")
class Distill(TaughtMethod):
    """The distance of the maps of both networks, and the mean squared error of the pooled features."""

    views = 1

    def __init__(self, network: "TimmModel", spec: InputSpec, teacher: Teacher | None) -> None:
        super().__init__(network, spec, teacher)
        if teacher is None:
            raise HemfError("--method distill learns from a --teacher; give one, such as --teacher lite0")
        self.spec, self._teacher = spec, (teacher,)  # in a tuple, so that it is neither trained nor kept here
        teacher.model.requires_grad_(False)
        self.maps = MapDistance(teacher, network, spec, "give another --teacher, or another --model")
        with torch.no_grad():
            wanted = _pooled(teacher.model, torch.zeros(1, *teacher.spec.input_size))[0].shape[1]
        self.project = nn.Linear(self.width, wanted)

    def forward(self, network: "TimmModel", images: Tensor) -> Tensor:
        (teacher,) = self._teacher
        with torch.no_grad():
            theirs, their_maps = _pooled(teacher.model, shown_to(teacher, images, self.spec))
        mine, my_maps = _pooled(network, images)
        wanted = F.batch_norm(theirs.float(), None, None, training=len(theirs) > 1)
        return self.maps(my_maps, their_maps) + F.mse_loss(self.project(mine.float()), wanted)


def _pooled(network: "TimmModel", images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return what a network's last layer reads, and its maps."""
    final, maps = maps_of(network, images)
    return network.forward_head(final, pre_logits=True), maps
