"""Test-time augmentation: a network is shown several views of each image, and speaks for all of them."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from hemf.config.options import TTA
from hemf.core.errors import HemfError
from hemf.core.precision import float32_logits
from hemf.data.preprocessing import InputSpec
from hemf.runtime.description import apart
from hemf.tasks import Task

View = Callable[[Tensor], Tensor]


def _as_it_is(images: Tensor) -> Tensor:
    return images


def _turned(images: Tensor, quarters: int, mirrored: bool) -> Tensor:
    turned = torch.rot90(images.flip(3) if mirrored else images, quarters, (2, 3))
    return turned.contiguous(memory_format=torch.channels_last)


MIRRORED: View = partial(torch.flip, dims=(3,))
VIEWS: dict[str, Sequence[View]] = {
    "none": (_as_it_is,),
    "flip": (_as_it_is, MIRRORED),
    "flips": (_as_it_is, MIRRORED, partial(torch.flip, dims=(2,)), partial(torch.flip, dims=(2, 3))),
    "dihedral": tuple(
        partial(_turned, quarters=quarters, mirrored=mirrored)
        for mirrored in (False, True)
        for quarters in range(4)
    ),
}
"""By name, what becomes of a batch B x C x H x W: mirrored left to right, also top to bottom, or in all eight
ways in which a square falls on itself."""


class Averaged(nn.Module):
    """A network whose outputs stand for the mean of the probabilities of several views.

    Args:
        network: one of timm's, B x C x H x W to B x outputs.
        views: what each image is shown as.
        task: how outputs become probabilities.
        scored: whether the last column of the network's outputs is the unfamiliarity, of which it gives the
            mean.
    """

    def __init__(self, network: nn.Module, views: Sequence[View], task: Task, scored: bool = False) -> None:
        super().__init__()
        self.network, self.views, self.task, self.scored = network, views, task, scored

    def forward_features(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of each view, float32, one after the other to save memory."""
        return [float32_logits(self.network, view(images)) for view in self.views]

    def forward_head(self, features: list[Tensor]) -> Tensor:
        """Return the outputs whose probabilities are the mean of the views' probabilities."""
        each = [apart(outputs.cpu(), self.scored) for outputs in features]
        mean = mean_logits([self.task.probabilities(logits) for logits, _ in each], self.task)
        scores = [score for _, score in each if score is not None]
        return torch.cat([mean, torch.stack(scores).mean(0)[..., None]], -1) if scores else mean


def mean_logits(probabilities: Sequence[Tensor], task: Task) -> Tensor:
    """Return the outputs, float32, whose probabilities are the mean of several, each (..., K) float64."""
    return task.logits(torch.stack(list(probabilities)).mean(0)).float()


def with_views(network: nn.Module, tta: TTA, spec: InputSpec, task: Task, scored: bool = False) -> nn.Module:
    """Return a network that is shown the views of ``tta``: for ``none`` the network itself; see ``Averaged``.

    Raises:
        HemfError: no such views, or images of another height than width are to be turned.
    """
    if tta not in VIEWS:
        raise HemfError(f"no test-time augmentation {tta!r}; give one of {', '.join(VIEWS)}")
    if tta == "none":
        return network
    _, height, width = spec.input_size
    if tta == "dihedral" and height != width:
        raise HemfError(
            f"--tta dihedral turns images, but the model's input is {height} x {width}; give --tta flips"
        )
    return Averaged(network, VIEWS[tta], task, scored)


def views_line(tta: TTA) -> str | None:
    """Say how many views the probabilities are the mean of; None for one."""
    views = len(VIEWS[tta])
    return None if views == 1 else f"Test-time augmentation {tta}: the mean over {views} views of each image."


def other_tta_line(tta: str, fitted: str | None) -> str | None:
    """Warn where a calibration was fitted under another test-time augmentation than that in use.

    Args:
        tta: what is in use.
        fitted: what it was fitted under; None where there is no calibration.
    """
    if fitted in (None, tta):
        return None
    return (
        f"Warning: --tta is {tta}, but temperature, prediction sets and operating points were fitted under "
        f"{fitted}; calibrate again with --tta {tta}."
    )
