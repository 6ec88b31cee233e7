"""Distillation: a stronger network, the teacher, shows the one in training what it makes of every batch.

Both see the same crops and mixtures of the same images (Beyer et al. 2022, arXiv:2106.05237, section 3). A
teacher of the same classes shows its logits (Hinton et al. 2015, arXiv:1503.02531); any other its feature
maps, stage by stage, which is how a network without pretrained weights gets the benefit of another's (Romero
et al. 2015, arXiv:1412.6550).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hemf.core.precision import float32_logits
from hemf.data.preprocessing import InputSpec
from hemf.tasks import Task
from hemf.training.distillation.maps import MapDistance, maps_of
from hemf.training.distillation.teacher import Teacher, shown_to

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel


class Distillation(nn.Module):
    """What the teacher adds to the loss of a network in training.

    For logits z of the network and t of the teacher over the same classes it is T^2 KL(p(t / T) || p(z / T)),
    of the task's probabilities p at the temperature T. Else it is the distance of their feature maps.

    Args:
        teacher: the network that is learnt from; it is no part of this module's state.
        student: the network in training.
        spec: its input.
        classes: names of its classes, in order.
        task: what it is asked about an image.
        temperature: T.

    Raises:
        HemfError: the classes differ, and the two networks have no maps of the same stride.
    """

    def __init__(
        self,
        teacher: Teacher,
        student: "TimmModel",
        spec: InputSpec,
        classes: Sequence[str],
        task: Task,
        temperature: float,
    ) -> None:
        super().__init__()
        self.spec, self.task, self.temperature = spec, task, temperature
        self._teacher = (teacher,)  # in a tuple, so that its weights are neither trained nor kept here
        teacher.model.requires_grad_(False)
        self.order: list[int] | None = None
        self.maps: MapDistance | None = None
        if set(teacher.classes) == set(classes):
            self.order = [teacher.classes.index(name) for name in classes]
            self.words = "its logits"
            return
        otherwise = "give a --teacher of the same classes, or another one"
        self.maps = MapDistance(teacher, student, spec, otherwise)
        self.words = self.maps.words

    @property
    def teacher(self) -> Teacher:
        """The network that is learnt from."""
        return self._teacher[0]

    def forward(self, student: "TimmModel", images: Tensor) -> tuple[Tensor | tuple[Tensor, ...], Tensor]:
        """Run the network and its teacher on a batch.

        Args:
            student: the network in training.
            images: B x C x H x W, normalised for it.

        Returns:
            The network's outputs, and the scalar that the teacher adds to the loss.
        """
        shown = shown_to(self.teacher, images, self.spec)
        if self.order is not None:
            return self._by_logits(student, images, shown, self.order)
        return self._by_maps(student, images, shown)

    def _by_logits(
        self, student: "TimmModel", images: Tensor, shown: Tensor, order: list[int]
    ) -> tuple[Tensor | tuple[Tensor, ...], Tensor]:
        with torch.no_grad():
            wanted = float32_logits(self.teacher.model, shown)[:, order]
        outputs = student(images)
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        return outputs, torch.stack([self._divergence(logits.float(), wanted) for logits in heads]).mean()

    def _by_maps(self, student: "TimmModel", images: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        assert self.maps is not None, "there are either logits or maps to learn from"
        with torch.no_grad():
            theirs = maps_of(self.teacher.model, shown)[1]
        final, mine = maps_of(student, images)
        return student.forward_head(final), self.maps(mine, theirs)

    def _divergence(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Return T^2 KL(p(wanted / T) || p(logits / T)), the mean over the batch."""
        if not self.task.exclusive:  # every output is a question of its own
            asked = (wanted / self.temperature).sigmoid()
            entropy = F.binary_cross_entropy(asked, asked)
            scaled = logits / self.temperature
            return self.temperature**2 * (F.binary_cross_entropy_with_logits(scaled, asked) - entropy)
        mine, theirs = ((one / self.temperature).log_softmax(-1) for one in (logits, wanted))
        return self.temperature**2 * F.kl_div(mine, theirs, reduction="batchmean", log_target=True)
