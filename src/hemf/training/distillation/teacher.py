"""The network that another learns from: where it comes from, and how it sees the other's images."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from hemf.core.errors import HemfError
from hemf.data.preprocessing import InputSpec
from hemf.inference.load import load_network
from hemf.models.hub import CONFIG, WEIGHTS, save_model
from hemf.runs.folder import open_run
from hemf.weights.find import find_weights

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel


@dataclass(frozen=True)
class Teacher:
    """A network that is learnt from.

    Args:
        model: the network, in evaluation mode.
        spec: its input.
        architecture: timm's name of it.
        classes: names of its classes, in the order of its outputs; empty if they are not known.
        origin: where it comes from, in words.
        folder: the model's folder that it was read from, if it was.
    """

    model: "TimmModel"
    spec: InputSpec
    architecture: str
    classes: tuple[str, ...]
    origin: str
    folder: Path | None = None

    def save(self, folder: Path) -> None:
        """Write it as a model's folder, which ``find_teacher`` finds."""
        if self.folder is not None:
            folder.mkdir()
            for name in (WEIGHTS, CONFIG):
                shutil.copyfile(self.folder / name, folder / name)
            return
        save_model(
            self.model,
            folder,
            architecture=self.architecture,
            model_args={},
            classes=self.classes or [f"output {i}" for i in range(self.model.num_classes)],
            pretrained_cfg=self.spec.to_pretrained_cfg(),
        )


def find_teacher(source: str) -> Teacher:
    """Find the network that ``--teacher`` names: a run, a model's folder, or what ``--init`` takes by name.

    Raises:
        HemfError: there is nothing of that name, it cannot be read, or its architecture is not known.
    """
    if Path(source).is_dir():
        folder = open_run(source).model
        model, spec, config = load_network(folder)
        classes = tuple(config.get("label_names") or ())
        return Teacher(model, spec, config["architecture"], classes, source, folder)
    weights = find_weights(source)
    if not weights.architecture:
        raise HemfError(
            f"{source} holds weights, but not of which network; give --teacher a run or a model's folder"
        )
    model = cast("TimmModel", timm.create_model(weights.architecture))
    try:
        model.load_state_dict(dict(weights.tensors))
    except RuntimeError as error:
        raise HemfError(
            f"the weights from {weights.origin} are not whole ({str(error).splitlines()[0]}); give another "
            "--teacher"
        ) from error
    spec = InputSpec.from_pretrained_cfg({**model.pretrained_cfg, **weights.input})
    return Teacher(model.eval(), spec, weights.architecture, weights.classes, weights.origin)


@torch.no_grad()
def shown_to(teacher: Teacher, images: Tensor, spec: InputSpec) -> Tensor:
    """Return images as a teacher sees them, with the teacher on their device.

    Args:
        teacher: the network that is learnt from; it is moved, and kept in evaluation mode.
        images: B x C x H x W, normalised for another network.
        spec: that one's input.
    """
    theirs = teacher.spec
    teacher.model.to(images.device).eval()
    pixels = images.float() * _levels(spec.std, images) + _levels(spec.mean, images)
    if pixels.shape[1] != theirs.input_size[0]:
        pixels = pixels.mean(1, keepdim=True).expand(-1, theirs.input_size[0], -1, -1)
    if pixels.shape[2:] != theirs.input_size[1:]:
        pixels = F.interpolate(pixels, theirs.input_size[1:], mode="bilinear", antialias=True)
    return (pixels - _levels(theirs.mean, pixels)) / _levels(theirs.std, pixels)


def _levels(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device, dtype=torch.float32).view(1, -1, 1, 1)
