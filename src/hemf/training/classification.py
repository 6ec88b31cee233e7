"""Training to tell classes apart: one kind of training; what all kinds have in common is in ``trainer``."""

from pathlib import Path

from rich.console import Console

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.text import patients
from hemf.data.dataset import DataSet
from hemf.data.load import load_data
from hemf.data.loading.datamodule import ImageData
from hemf.data.summary import group_lines, notes
from hemf.data.transforms import mixup_cutmix
from hemf.runs.folder import Run
from hemf.tasks import check_task
from hemf.training.distillation import find_teacher
from hemf.training.finish import finish, write_model
from hemf.training.module import ImageClassifier
from hemf.training.probe.compare import keep_probe, probe_kept
from hemf.training.probe.fit import train_probe
from hemf.weights.find import find_weights
from hemf.weights.load import load_into


class Classification:
    """Training of a classifier."""

    verb = "hemf train"

    def load(self, run: Path) -> DataSet:
        """Read the images of a run that is taken up."""
        return load_data(run)

    def build(self, config: RunConfig, data: DataSet) -> tuple[ImageData, ImageClassifier]:
        """Build the batches and the model of a run."""
        return build(config, data)

    def announce(
        self, console: Console, config: RunConfig, images: ImageData, network: ImageClassifier, precision: str
    ) -> None:
        """Say what is trained on what, and what will make the results too good."""
        _warn(console, config, images.data)
        _announce(console, images, network, precision)

    def before_epochs(
        self,
        console: Console,
        path: Path | None,
        config: RunConfig,
        images: ImageData,
        network: ImageClassifier,
        devices: int,
    ) -> Run | None:
        """Fit the linear probe that a run is, or begins with.

        Raises:
            HemfError: there are several processes, or the network cannot be probed.
        """
        if not (config.probe or config.probe_first):
            return None
        if path is None or (config.probe_first and devices > 1):
            raise HemfError(
                "a probe is fitted by one process; start it without torchrun or SLURM's tasks, --probe-first "
                "also with --devices 1"
            )
        best = train_probe(console, path, config, images, network.model)
        if config.probe:
            return write_model(console, path, config, images.data, network.model, best)
        keep_probe(path, network)
        return None

    def finish(
        self, console: Console, path: Path, config: RunConfig, images: ImageData, network: ImageClassifier
    ) -> Run:
        """Write the model of a run whose epochs are trained."""
        return finish(console, path, config, images, network)

    def kept(self, path: Path) -> dict[str, float]:
        """Return the validation metrics of what is kept in place of the best epoch; mostly nothing is."""
        return probe_kept(path)


CLASSIFICATION = Classification()


def build(config: RunConfig, data: DataSet) -> tuple[ImageData, ImageClassifier]:
    """Build the batches and the model of a run.

    Raises:
        HemfError: the data cannot be trained on, or the options do not fit.
    """
    images = ImageData(data, config, encode=check_task(config).encode)
    images.setup("fit")
    if config.monitor == "roc_auc" and images.val_split and 0 in images.class_counts(images.val_split):
        raise HemfError(
            f"ROC AUC is undefined: the {images.val_split} split of {data.name} lacks a class; "
            "choose another --monitor or another split"
        )
    if config.probe_first and not images.val_split:
        raise HemfError(
            "--probe-first needs validation images, which decide whether the probe or what follows it is "
            "kept; give --val-split val, or --probe for the probe alone"
        )
    paths = [str(data.path(sample)) for sample in images.samples("train")]
    mixer = mixup_cutmix(config, len(data.classes))
    classifier = ImageClassifier(config, images.class_counts("train"), paths, mixer)
    if config.init is not None:
        classifier.loaded = load_into(classifier.model, find_weights(config.init), data.classes)
    if config.teacher is not None:
        classifier.learn_from(find_teacher(config.teacher), data.classes)
    return images, classifier


def _warn(console: Console, config: RunConfig, data: DataSet) -> None:
    """Say what will make the results too good."""
    notes = []
    if config.val_split == "test":
        notes.append(
            "the test images choose the checkpoint, so the test result will be too good; report it only as "
            "the paper's protocol"
        )
    if leaking := data.leaking_groups():
        torn = patients(len(leaking))
        notes.append(
            f"{torn} on more than one side of this split, so results will be too good; prepare with --split "
            "grouped to keep them apart"
        )
    for note in notes:
        console.print(f"warning: {note}", style="bold red")


def _announce(console: Console, images: ImageData, classifier: ImageClassifier, precision: str) -> None:
    sizes = {split: len(images.samples(split)) for split in ("train", "val", "test")}
    console.print(
        classifier.model_line(precision),
        f"data: {images.data.name}, " + ", ".join(f"{n} {split}" for split, n in sizes.items()),
        *classifier.weights_lines(),
        sep="\n",
    )
    if classifier.distillation is not None:
        taught = classifier.distillation
        console.print(f"teacher: {taught.teacher.origin}, by {taught.words}")
    console.print(*group_lines(images.data)[:1], *notes(images.data), sep="\n", markup=False, soft_wrap=True)
