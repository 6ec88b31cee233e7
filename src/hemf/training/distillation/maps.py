"""Feature maps of two networks, stage by stage: what one has to learn to see as the other does."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hemf.core.errors import HemfError
from hemf.data.preprocessing import InputSpec
from hemf.training.distillation.teacher import Teacher

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

    Intermediates = Callable[..., tuple[Tensor, list[Tensor]]]


class MapDistance(nn.Module):
    """The mean, over the maps of both networks that have the same stride, of 1 - cos(P(f), g) over positions.

    f is the network's map, g the teacher's and P a 1 x 1 convolution that is learnt.

    Args:
        teacher: the network that is learnt from; it is no part of this module's state.
        student: the network in training.
        spec: its input.
        otherwise: what to give instead where there is nothing to compare.

    Raises:
        HemfError: the two networks have no maps of the same stride.
    """

    def __init__(self, teacher: Teacher, student: "TimmModel", spec: InputSpec, otherwise: str) -> None:
        super().__init__()
        pairs = _common_strides(student, spec, teacher, otherwise)
        self.places = [(mine, theirs) for _, mine, theirs, _, _ in pairs]
        self.words = f"its feature maps of stride {', '.join(str(stride) for stride, *_ in pairs)}"
        self.projections = nn.ModuleList(nn.Conv2d(width, wanted, 1) for *_, width, wanted in pairs)

    def forward(self, mine: list[Tensor], theirs: list[Tensor]) -> Tensor:
        """Return the distance of all maps of the network to all of its teacher, as ``maps_of`` gives them."""
        distances = [
            _angles(project(mine[place]), theirs[other])
            for project, (place, other) in zip(self.projections, self.places, strict=True)
        ]
        return torch.stack(distances).mean()


def maps_of(network: "TimmModel", images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return what a network's head reads, and its feature maps B x C x H x W."""
    return cast("Intermediates", network.forward_intermediates)(images, output_fmt="NCHW")


def _angles(mine: Tensor, theirs: Tensor) -> Tensor:
    """Return the mean of 1 - cosine over the positions of two maps; the second is resized to the first."""
    if mine.shape[2:] != theirs.shape[2:]:
        theirs = F.interpolate(theirs.float(), mine.shape[2:], mode="bilinear", antialias=True)
    return (1 - F.cosine_similarity(mine.float(), theirs.float(), dim=1)).mean()


def _common_strides(
    student: "TimmModel", spec: InputSpec, teacher: Teacher, otherwise: str
) -> list[tuple[int, int, int, int, int]]:
    """Return each stride that both have a map of, the places of the last such maps, and their channels."""
    found = []
    for network, size in ((student, spec.input_size), (teacher.model, teacher.spec.input_size)):
        was_training = network.training
        try:
            with torch.no_grad():
                maps = maps_of(network.eval(), torch.zeros(1, *size))[1]
        except (AttributeError, TypeError, NotImplementedError, AssertionError) as error:
            raise HemfError(
                f"{type(network).__name__} gives no feature maps by stage to compare; {otherwise}"
            ) from error
        finally:
            network.train(was_training)
        found.append({round(size[1] / m.shape[2]): (i, m.shape[1]) for i, m in enumerate(maps)})
    mine, theirs = found
    common = sorted(mine.keys() & theirs.keys())
    if not common:
        raise HemfError(
            f"{type(student).__name__} has maps of strides {sorted(mine)}, its teacher of {sorted(theirs)}; "
            f"{otherwise}"
        )
    return [
        (stride, mine[stride][0], theirs[stride][0], mine[stride][1], theirs[stride][1]) for stride in common
    ]
