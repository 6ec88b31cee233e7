"""An exported model with what is needed to use it, from its folder, which may come from anyone."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from hemf.calibration.record import Calibration
from hemf.config.options import TTA
from hemf.core.errors import HemfError
from hemf.core.untrusted import MOST_CLASSES, read_json, refuse_links
from hemf.data.preprocessing import InputSpec
from hemf.runtime.description import Description, OneModel
from hemf.runtime.registry import OUTPUTS, RUNTIMES, Compute
from hemf.tasks import Task


@dataclass(frozen=True)
class ExportedModel(OneModel):
    """A network in another format, used like a ``TrainedModel``; nothing here needs torch.

    Args:
        compute: runs the network.
        description: its classes, input, task and calibration.
        name: name of its architecture.
        tta: the views of an image that it averages over by itself.
        precision: format of the numbers in its weights: ``fp32``, ``fp16`` or ``int8``.
        runtime: the library that runs it.
        scores: whether it gives the unfamiliarity of images too.
    """

    compute: Compute
    description: Description
    name: str
    tta: TTA
    precision: str
    runtime: str
    scores: bool = False

    @property
    def classes(self) -> list[str]:
        """Names of its classes, in the order of its outputs."""
        return self.description.classes

    @property
    def scored(self) -> bool:
        """Whether it also says how unlike the training images an image is."""
        return self.scores

    @property
    def spec(self) -> InputSpec:
        """Its input."""
        return self.description.spec

    @property
    def inputs(self) -> InputSpec:
        """What ``compute`` takes, once standardised."""
        return self.description.spec

    @property
    def task(self) -> Task:
        """What it is asked about an image."""
        return self.description.task

    @property
    def calibration(self) -> Calibration:
        """Its temperature, prediction sets and operating points."""
        return self.description.calibration

    @property
    def calibrated_under(self) -> TTA | None:
        """The test-time augmentation that its probabilities were calibrated under, if any."""
        return self.calibration.tta

    @property
    def notes(self) -> list[str]:
        """Sentences that whoever uses its predictions should know: none, it was measured when it was made."""
        return []

    def computes_on(self, device: str, precision: str) -> tuple[str, str]:
        """Return where and in which precision it computes, which nobody can choose.

        Args:
            device: what is asked for; ``auto`` leaves it open.
            precision: likewise.

        Raises:
            HemfError: something else is asked for.
        """
        if device not in ("auto", "cpu"):
            raise HemfError(
                f"--device is {device}, but exports run on the CPU, by {self.runtime}; leave it out"
            )
        if precision not in ("auto", self.precision):
            raise HemfError(f"--precision is {precision}, but the export is {self.precision}; leave it out")
        return "cpu", self.precision


def open_export(folder: Path, tta: TTA | None = None) -> ExportedModel:
    """Open the export in ``folder``: ``config.json`` and the network's file, which may come from anyone.

    Args:
        folder: the export's.
        tta: test-time augmentation that is asked for; None for what the export does.

    Raises:
        HemfError: it is damaged, hostile, of a format that hemf does not run, needs a library that is not
            there, or averages over other views than those asked for.
    """
    refuse_links(folder)
    config = read_json(folder / "config.json", "give a folder that hemf export has made")
    about = config.get("export")
    if not isinstance(about, dict) or not isinstance(config.get("pretrained_cfg"), dict):
        raise HemfError(f"{folder}/config.json is not of an export; give a folder that hemf export has made")
    kind, precision, views = (about.get(key) for key in ("format", "precision", "tta"))
    names = about.get("outputs", [])
    if not (isinstance(kind, str) and isinstance(precision, str) and isinstance(names, list)) or (
        views not in get_args(TTA)
    ):
        raise HemfError(f"the entry export in {folder}/config.json is damaged; export the run again")
    outputs = config.get("num_classes")
    if type(outputs) is not int or not 1 <= outputs <= MOST_CLASSES:
        raise HemfError(f"num_classes in {folder}/config.json must be from 1 to {MOST_CLASSES}; correct it")
    if kind == "torch":
        raise HemfError(
            f"{folder} is a torch program (.pt2), which torch unpickles, so that it may run anything; "
            "hemf opens exports to onnx, and your own code may open this one if you trust it"
        )
    runtime, description = RUNTIMES.find(kind), Description.of(config, outputs, folder)
    if tta is not None and tta != views:
        raise HemfError(f"{folder} averages over the views {views}, not {tta}; leave --tta out")
    scores = OUTPUTS[1] in names
    compute = runtime.open(folder / runtime.file, description.spec.input_size, outputs, scores)
    name = str(config.get("architecture", "unknown"))[:100]
    return ExportedModel(compute, description, name, cast("TTA", views), precision, runtime.name, scores)
