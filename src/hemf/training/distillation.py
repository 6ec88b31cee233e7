"""Distillation: a stronger network, the teacher, shows the one in training what it makes of every batch.

Both see the same crops and mixtures of the same images (Beyer et al. 2022, arXiv:2106.05237, section 3). A
teacher of the same classes shows its logits (Hinton et al. 2015, arXiv:1503.02531); any other its feature
maps, stage by stage, which is how a network without pretrained weights gets the benefit of another's (Romero
et al. 2015, arXiv:1412.6550).
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hemf.core.errors import HemfError
from hemf.core.precision import float32_logits
from hemf.data.transforms import InputSpec
from hemf.inference.load import load_trained
from hemf.models.hub import CONFIG, WEIGHTS, save_model
from hemf.runs.folder import open_run
from hemf.tasks import Task
from hemf.weights.find import find_weights

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

    Intermediates = Callable[..., tuple[Tensor, list[Tensor]]]


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
        trained = load_trained(folder)
        model = cast("TimmModel", trained.model)
        return Teacher(model, trained.spec, trained.name, tuple(trained.classes), source, folder)
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


class Distillation(nn.Module):
    """What the teacher adds to the loss of a network in training.

    For logits z of the network and t of the teacher over the same classes it is T^2 KL(p(t / T) || p(z / T)),
    of the task's probabilities p at the temperature T. Else it is the mean, over the maps of both that have
    the same stride, of 1 - cos(P(f), g) over their positions, with f the network's map, g the teacher's and
    P a 1 x 1 convolution that is learnt.

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
        self.order = None
        if set(teacher.classes) == set(classes):
            self.order = [teacher.classes.index(name) for name in classes]
            self.words = "its logits"
            return
        pairs = _common_strides(student, spec, teacher)
        self.places = [(mine, theirs) for _, mine, theirs, _, _ in pairs]
        self.words = f"its feature maps of stride {', '.join(str(stride) for stride, *_ in pairs)}"
        self.projections = nn.ModuleList(nn.Conv2d(width, wanted, 1) for *_, width, wanted in pairs)

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
        self.teacher.model.to(images.device).eval()
        with torch.no_grad():
            shown = self._as_the_teacher_sees(images)
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
        with torch.no_grad():
            theirs = _maps(self.teacher.model, shown)
        final, mine = cast("Intermediates", student.forward_intermediates)(images, output_fmt="NCHW")
        distances = [
            _angles(project(mine[place]), theirs[other])
            for project, (place, other) in zip(self.projections, self.places, strict=True)
        ]
        return student.forward_head(final), torch.stack(distances).mean()

    def _as_the_teacher_sees(self, images: Tensor) -> Tensor:
        mine, theirs = self.spec, self.teacher.spec
        pixels = images.float() * _levels(mine.std, images) + _levels(mine.mean, images)
        if pixels.shape[1] != theirs.input_size[0]:
            pixels = pixels.mean(1, keepdim=True).expand(-1, theirs.input_size[0], -1, -1)
        if pixels.shape[2:] != theirs.input_size[1:]:
            pixels = F.interpolate(pixels, theirs.input_size[1:], mode="bilinear", antialias=True)
        return (pixels - _levels(theirs.mean, pixels)) / _levels(theirs.std, pixels)

    def _divergence(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Return T^2 KL(p(wanted / T) || p(logits / T)), the mean over the batch."""
        if not self.task.exclusive:  # every output is a question of its own
            asked = (wanted / self.temperature).sigmoid()
            entropy = F.binary_cross_entropy(asked, asked)
            scaled = logits / self.temperature
            return self.temperature**2 * (F.binary_cross_entropy_with_logits(scaled, asked) - entropy)
        mine, theirs = ((one / self.temperature).log_softmax(-1) for one in (logits, wanted))
        return self.temperature**2 * F.kl_div(mine, theirs, reduction="batchmean", log_target=True)


def _levels(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device, dtype=torch.float32).view(1, -1, 1, 1)


def _maps(network: "TimmModel", images: Tensor) -> list[Tensor]:
    return cast("Intermediates", network.forward_intermediates)(images, output_fmt="NCHW")[1]


def _angles(mine: Tensor, theirs: Tensor) -> Tensor:
    """Return the mean of 1 - cosine over the positions of two maps; the second is resized to the first."""
    if mine.shape[2:] != theirs.shape[2:]:
        theirs = F.interpolate(theirs.float(), mine.shape[2:], mode="bilinear", antialias=True)
    return (1 - F.cosine_similarity(mine.float(), theirs.float(), dim=1)).mean()


def _common_strides(
    student: "TimmModel", spec: InputSpec, teacher: Teacher
) -> list[tuple[int, int, int, int, int]]:
    """Return each stride that both have a map of, the places of the last such maps, and their channels."""
    found = []
    for network, size in ((student, spec.input_size), (teacher.model, teacher.spec.input_size)):
        was_training = network.training
        try:
            with torch.no_grad():
                maps = _maps(network.eval(), torch.zeros(1, *size))
        except (AttributeError, TypeError, NotImplementedError, AssertionError) as error:
            raise HemfError(
                f"{type(network).__name__} gives no feature maps by stage, which a teacher of other classes "
                "needs; give a --teacher of the same classes"
            ) from error
        finally:
            network.train(was_training)
        found.append({round(size[1] / m.shape[2]): (i, m.shape[1]) for i, m in enumerate(maps)})
    mine, theirs = found
    common = sorted(mine.keys() & theirs.keys())
    if not common:
        raise HemfError(
            f"{type(student).__name__} has maps of strides {sorted(mine)}, its teacher of {sorted(theirs)}; "
            "give a --teacher of the same classes, or another one"
        )
    return [
        (stride, mine[stride][0], theirs[stride][0], mine[stride][1], theirs[stride][1]) for stride in common
    ]
