"""The network that is exported: from standardised images to logits of all views and score, in float32."""

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from hemf.core.errors import HemfError
from hemf.core.precision import float32_logits
from hemf.data.preprocessing import InputSpec
from hemf.exporting.registry import Job
from hemf.inference.ensemble import Ensemble
from hemf.inference.load import TrainedModel
from hemf.inference.scored import Scored
from hemf.inference.tta import VIEWS
from hemf.models.fuse import fuse
from hemf.runtime.description import apart

LARGEST_BATCH = 1 << 16
OPERATOR = re.compile(r"\b(?:aten|prims|torchvision|hemf|timm|quantized)(?:\.|::)\w+(?:\.\w+)?")


def exported(trained: TrainedModel | Ensemble) -> nn.Module:
    """Return what is exported of a model, or of several that speak as one: B x C x H x W to logits, B x K.

    Raises:
        HemfError: its task has no mean of several views or members.
    """
    network = ExportedMean(trained) if isinstance(trained, Ensemble) else Exported(trained)
    return network.cpu().eval()


def input_of_all(trained: TrainedModel | Ensemble) -> InputSpec:
    """Return the one form of an image that a model takes, or that all members of an ensemble take.

    Raises:
        HemfError: the members take several.
    """
    if isinstance(trained, TrainedModel):
        return trained.spec
    first, *others = trained.inputs
    if others:
        raise HemfError(
            f"the members take images in {len(trained.inputs)} forms, and an export takes one; export each "
            "member by itself, or train all with the same input"
        )
    return first


class ExportedMean(nn.Module):
    """The members of an ensemble with what their mean takes: their temperatures, and one order of classes.

    Args:
        ensemble: the members.

    Raises:
        HemfError: their task has no mean.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        if not ensemble.task.exclusive:
            raise HemfError(
                f"ensembles of the task {ensemble.task.name} are not exported; export each member"
            )
        self.members = nn.ModuleList(Exported(member) for member in ensemble.members)
        self.scored = ensemble.scored
        self.temperatures = [member.calibration.temperature or 1.0 for member in ensemble.members]
        self.orders = [
            [member.classes.index(name) for name in ensemble.classes] for member in ensemble.members
        ]

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits, B x K, whose softmax is the mean of the members' calibrated probabilities.

        Where all members keep an out-of-distribution score, the mean of these, B, is there too.
        """
        found = [member(images) for member in self.members]
        each = zip(map(logits_of, found), self.temperatures, self.orders, strict=True)
        logits = mean_of([(of_member / heat)[:, order] for of_member, heat, order in each])
        return (logits, torch.stack([score for _, score in found]).mean(0)) if self.scored else logits


def logits_of(found: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Return the logits of a network that may give the unfamiliarity too."""
    return found if isinstance(found, Tensor) else found[0]


def mean_of(logits: list[Tensor]) -> Tensor:
    """Return the logits, B x K, whose softmax is the mean of the softmaxes of several."""
    if len(logits) == 1:
        return logits[0]
    return torch.stack(logits).log_softmax(-1).logsumexp(0) - math.log(len(logits))


class Exported(nn.Module):
    """A model with what its predictions take beside the network: the views that it averages over.

    Args:
        trained: the model. Its network is taken in its inference form where there is one.

    Raises:
        HemfError: its task has no mean of several views.
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        if trained.tta != "none" and not trained.task.exclusive:
            raise HemfError(
                f"the task {trained.task.name} is not exported with --tta {trained.tta}; give none"
            )
        network = _inference_form(trained.model)
        self.scored, self.views = trained.scored, VIEWS[trained.tta]
        self.network = Scored(network, trained.familiarity) if trained.familiarity else network

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits, B x K, whose softmax is the mean of those of all views, and the unfamiliarity.

        The second, B, is there where the model keeps an out-of-distribution score.
        """
        each = [apart(float32_logits(self.network, view(images)), self.scored) for view in self.views]
        logits = mean_of([of_view for of_view, _ in each])
        return (logits, torch.stack([score for _, score in each]).mean(0)) if self.scored else logits


def _inference_form(network: nn.Module) -> nn.Module:
    try:
        return fuse(network)
    except ValueError:  # it uses a layer in a way that folding does not know
        return network.eval()


def program_of(job: Job) -> ExportedProgram:
    """Return a network as a graph of torch's own operators, for batches of any size.

    The compiled kernels (``torch.ops.hemf``) step aside while torch exports; see ``models/kernels``.

    Args:
        job: what is exported. Its ``any_size`` asks for images of any height and width, too.

    Raises:
        HemfError: the network takes images of one size alone.
        Exception: of any kind, as ``torch.export.export`` raises it.
    """
    shape: dict[int, Any] = {0: Dim("batch", min=1, max=LARGEST_BATCH)}
    if job.any_size:
        _check_padding(job)
        shape |= {2: Dim.AUTO, 3: Dim.AUTO}
    with torch.no_grad():
        program = torch.export.export(job.network.eval(), (job.images,), dynamic_shapes=(shape,))
    sides = program.graph.find_nodes(op="placeholder")[-1].meta["val"].shape[2:]
    if job.any_size and any(str(side).isdecimal() for side in sides):  # else it is a symbol
        height, width = job.images.shape[2:]
        raise HemfError(
            f"{job.name} takes images of {height} x {width} pixels alone, by its layers; leave --any-size out"
        )
    return program


def _check_padding(job: Job) -> None:
    """Refuse networks that pad by what a size lacks, whose shapes keep torch busy beyond measure.

    Raises:
        HemfError: it has such a layer.
    """
    if any(isinstance(layer, Conv2dSame) for layer in job.network.modules()):
        raise HemfError(
            f"{job.name} takes images of one size alone, as an export: it pads like TensorFlow, by what each "
            "size lacks (Conv2dSame); leave --any-size out"
        )


@contextmanager
def operator_named(name: str, kind: str) -> Iterator[None]:
    """Turn whatever an exporter raises inside the block into a line that names the operator.

    Args:
        name: the architecture.
        kind: the format.

    Raises:
        HemfError: the exporter has failed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's exporters, about themselves
            yield
    except HemfError:
        raise
    except Exception as error:  # torch's exporters raise nearly anything
        found = [OPERATOR.search(text) for text in _texts(error)]
        operator = next((match[0] for match in found if match), None)
        where = f"it stops at the operator {operator}" if operator else _first_line(error)
        raise HemfError(f"{name} does not export to {kind}: {where}; try another --format") from error


def _texts(error: BaseException | None) -> Iterator[str]:
    """Yield the messages of an error and of what it came from, the deepest first."""
    if error is not None:
        yield from _texts(error.__cause__ or error.__context__)
        yield str(error)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[
        :200
    ]
