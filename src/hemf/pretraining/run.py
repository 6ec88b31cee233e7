"""A pretraining from its options to its network: the second kind of training beside classification."""

import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console

from hemf.config.pretraining import PretrainConfig
from hemf.core.files import whole_file
from hemf.core.outputs import png_mark
from hemf.core.text import counted
from hemf.data.dataset import DataSet
from hemf.data.manifest import read_data_set
from hemf.inference.features import features_of
from hemf.models.hub import save_model
from hemf.pretraining.batches import ViewedImages
from hemf.pretraining.images import has_labels, read_images, skipped_line, without_unreadable
from hemf.pretraining.module import Pretraining
from hemf.pretraining.neighbours import neighbours_sheet
from hemf.pretraining.registry import METHODS
from hemf.runs.card import pretraining_card
from hemf.runs.environment import read_environment
from hemf.runs.folder import Run
from hemf.training.callbacks.checkpoints import Progress, read_checkpoint, restore
from hemf.training.distillation import find_teacher
from hemf.training.lightning import check_hardware, first_device
from hemf.training.network import model_args
from hemf.training.trainer import begin, run_console
from hemf.weights.find import find_weights
from hemf.weights.load import load_into
from hemf.weights.origin import origin_of

SHEET = "neighbours.png"


def start(config: PretrainConfig) -> Run:
    """Pretrain a new run from options alone.

    Raises:
        HemfError: see ``hemf.pretrain``.
    """
    check_hardware(config)
    data, skipped = without_unreadable(read_images(config.data, config.use, config.fold))
    if skipped:
        run_console().print(skipped_line(skipped, len(data.samples)), style="bold red")
    return begin(config, data, kind=PRETRAINING)


class LabelFree:
    """Training of a network without labels; see ``Kind``."""

    verb = "hemf pretrain"

    def load(self, run: Path) -> DataSet:
        """Read the images of a run that is taken up."""
        data = read_data_set(run, trainable=False)
        data.check(files=True)
        return data

    def build(self, config: PretrainConfig, data: DataSet) -> tuple[ViewedImages, Pretraining]:
        """Build the batches and the network of a run."""
        method = METHODS.find(config.method)
        images = ViewedImages(data, config, method.views)
        images.setup("fit")
        teacher = None if config.teacher is None else find_teacher(config.teacher)
        paths = [str(data.path(sample)) for sample in images.samples("train")]
        network = Pretraining(config, paths, teacher)
        if config.init is not None:
            network.loaded = load_into(network.model, find_weights(config.init), ())
        return images, network

    def announce(
        self,
        console: Console,
        config: PretrainConfig,
        images: ViewedImages,
        network: Pretraining,
        precision: str,
    ) -> None:
        """Say what is learnt from which images, and what is left out."""
        data, learnt = images.data, len(images.samples("train"))
        left = len(data.samples) - learnt
        console.print(
            network.model_line(precision),
            f"data: {data.name}, {counted(learnt, 'image')} without their labels"
            + (f"; {left} of other sides of its split are not learnt from" if left else ""),
            *network.weights_lines(),
            sep="\n",
        )
        taught = f", as seen by {network.teacher.origin}" if network.teacher is not None else ""
        console.print(f"method: {config.method}{taught}")

    def before_epochs(
        self,
        console: Console,
        path: Path | None,
        config: PretrainConfig,
        images: ViewedImages,
        network: Pretraining,
        devices: int,
    ) -> None:
        """Nothing comes before the first epoch."""

    def finish(
        self,
        console: Console,
        path: Path,
        config: PretrainConfig,
        images: ViewedImages,
        network: Pretraining,
    ) -> Run:
        """Write the network of the last epoch, and what it takes for alike."""
        last = path / "checkpoints" / "last.ckpt"
        state = read_checkpoint(last)
        best = Progress.of(state, last).best
        restore(network, state, last)
        model = network.model.eval().to(memory_format=torch.contiguous_format)
        _write_sheet(path, config, images, network)
        save_model(
            model.cpu(),
            path / "model",
            architecture=config.model,
            model_args=model_args(config),
            classes=[],
            pretrained_cfg=images.spec.to_pretrained_cfg(),
            extra={"hemf": _origin(config, images.data, best)},
            card=partial(pretraining_card, path, config.method, images.data),
        )
        _report(console, path, config, images.data, best)
        return Run(path, best)

    def kept(self, path: Path) -> dict[str, float]:
        """Return nothing: the last epoch is kept."""
        return {}


PRETRAINING = LabelFree()


def _write_sheet(path: Path, config: PretrainConfig, images: ViewedImages, network: Pretraining) -> None:
    """Write the sheet of neighbours into a run's folder."""
    how: dict[str, Any] = {
        "workers": config.workers,
        "device": first_device(config),
        "precision": read_environment(path)["precision"],
    }
    files = [images.data.path(sample) for sample in images.watched]
    found = features_of(network.model, files, images.spec, "neighbours", **how)
    sheet: Image.Image = neighbours_sheet(torch.from_numpy(found), images)
    with whole_file(path / SHEET) as temporary:
        sheet.save(temporary, "PNG", pnginfo=png_mark())


def _origin(config: PretrainConfig, data: DataSet, best: dict[str, float]) -> dict[str, Any]:
    """Return where a network comes from, for those who find it without its run."""
    taught = None if config.teacher is None else origin_of(replace(config, init=config.teacher))
    return {
        "pretrained_by": config.method,
        "teacher": taught,
        "window": config.window,
        "data": data.name,
        "data_hash": data.hash,
        "split": data.info.get("split", {}),
        "epoch": best["epoch"],
        "first_weights": origin_of(config),
    }


def _report(
    console: Console, path: Path, config: PretrainConfig, data: DataSet, best: dict[str, float]
) -> None:
    shown = [f"effective rank {best['feature_rank']:.1f}", f"spread {best['feature_spread']:.3f}"]
    if has_labels(data) and "knn_balanced_accuracy" in best:
        shown.append(f"k-NN balanced accuracy {best['knn_balanced_accuracy']:.4f} on validation images")
    console.print(f"features after epoch {best['epoch']} of {config.epochs}: {', '.join(shown)}")
    console.print(f"nearest neighbours: {path / SHEET}")
    console.print(f"next: hemf train --data DATA --init {shlex.quote(str(path))}")
