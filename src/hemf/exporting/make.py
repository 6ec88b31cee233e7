"""Makes an export: writes the network, measures it beside the original, and keeps it if it agrees."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hemf.core.errors import HemfError
from hemf.core.files import whole_folder
from hemf.core.text import counted
from hemf.data.dataset import DataSet, Sample
from hemf.data.image.read import read_image
from hemf.data.preprocessing import InputSpec, pixels_of, standardised
from hemf.data.splits import few_of
from hemf.exporting import EXPORTERS
from hemf.exporting.folder import WRITTEN, check_place, configuration, write_beside
from hemf.exporting.network import exported, input_of_all, logits_of
from hemf.exporting.parity import parity_of, shortcomings
from hemf.exporting.registry import Exporter, Job
from hemf.inference.ensemble import Ensemble
from hemf.inference.load import TrainedModel
from hemf.inference.stream import InferenceOptions, predict_samples
from hemf.metrics.bootstrap import Draws
from hemf.runs.folder import OpenRuns
from hemf.runtime import ExportedModel
from hemf.runtime.description import Description
from hemf.runtime.registry import Compute

LOOKED_AT, AT_ONCE = 200, 10
OTHER = (64, 32)
"""Pixels more in height and width at which an export that takes any size is measured, too."""


@dataclass(frozen=True)
class Export:
    """What ``export`` made.

    Args:
        path: its folder.
        parity: what was measured beside the original, as in ``parity.json``.
    """

    path: Path
    parity: dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What an export is to be.

    Args:
        kind: name of the format.
        precision: format of the numbers in the weights.
        margin: points that one of lower precision may lose.
        any_size: whether it is to take images of any height and width.
        force: keep one that differs too much.
    """

    kind: str
    precision: str
    margin: float
    any_size: bool = False
    force: bool = False


@dataclass(frozen=True)
class Material:
    """Images that an export is measured on, and others that its quantisation looks at.

    Args:
        images: their data set.
        samples: those to measure on.
        split: what these are called.
        training: those of the training.
    """

    images: DataSet
    samples: list[Sample]
    split: str
    training: list[Sample]


def make_export(
    trained: TrainedModel | Ensemble,
    runs: OpenRuns,
    material: Material,
    target: Path,
    wanted: Wanted,
    workers: int | None,
) -> Export:
    """Write an export to ``target``, whole or not at all.

    Args:
        trained: the model, or several that are to speak as one.
        runs: where they are.
        material: images to measure on.
        target: the folder to make.
        wanted: what it is to be.
        workers: processes and threads that read images.

    Raises:
        HemfError: the network does not export, or what is written differs too much from it.
    """
    exporter, spec, precision = _exporter(wanted), input_of_all(trained), wanted.precision
    check_place(target, runs)
    options = InferenceOptions(workers=workers, precision="fp32", device="cpu")
    with whole_folder(target, WRITTEN) as staging:
        job, file = _job(trained, spec, material, wanted), staging / exporter.file
        about = exporter.write(job, staging)
        model = _opened(trained, spec, exporter, file, precision)
        original = predict_samples(trained, material.images, material.samples, options, "the model")
        measured = predict_samples(model, material.images, material.samples, options, "the export")
        parity = parity_of(original, measured, Draws())
        if wanted.any_size:
            parity["other_size"] = _at_another_size(job, model.compute)
        too_far = shortcomings(parity, precision, wanted.margin)
        if too_far and not wanted.force:
            where = counted(parity["n"], f"{material.split} image")
            raise HemfError(
                f"not exported, for on {where} {'; '.join(too_far)}; --force exports it all the same"
            )
        data = {"name": material.images.name, "hash": material.images.hash}
        where = {"data": data, "split": material.split, "margin": wanted.margin, "shortcomings": too_far}
        sizes = {"any_size": True} if wanted.any_size else {}
        about = {"format": wanted.kind, "precision": precision, **sizes, **about}
        config = configuration(trained, spec, runs, about, [staging / name for name in exporter.files])
        write_beside(staging, config, parity | where, runs, exporter.needs)
    return Export(target, parity | where)


def _exporter(wanted: Wanted) -> Exporter:
    exporter = EXPORTERS.find(wanted.kind)
    if wanted.precision not in exporter.precisions:
        known = " or ".join(exporter.precisions)
        raise HemfError(
            f"--precision {wanted.precision} does not go with --format {wanted.kind}; give {known}"
        )
    return exporter


def _job(trained: TrainedModel | Ensemble, spec: InputSpec, material: Material, wanted: Wanted) -> Job:
    if wanted.precision == "int8" and not material.training:
        raise HemfError(
            f"int8 looks at training images, of which {material.images.name} has none; give --data with a "
            "training split, or --precision fp16"
        )
    images = torch.randn(2, *spec.input_size, generator=torch.Generator().manual_seed(0))
    training = partial(_training_images, spec, material)
    more = training, trained.classes, wanted.any_size, trained.scored
    return Job(exported(trained), images, wanted.precision, trained.name, *more)


def _at_another_size(job: Job, compute: Compute) -> dict[str, Any]:
    """Return how far the export's probabilities are from the network's on noise that is higher and wider."""
    height, width = job.images.shape[2] + OTHER[0], job.images.shape[3] + OTHER[1]
    images = torch.randn(2, job.images.shape[1], height, width, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours = logits_of(job.network(images)).softmax(-1)
    theirs = torch.from_numpy(compute(images.numpy())[:, : ours.shape[1]]).softmax(-1)
    return {"size": [height, width], "largest_difference": float((ours - theirs).abs().max())}


def _training_images(spec: InputSpec, material: Material) -> Iterator[np.ndarray]:
    """Yield training images as the network sees them, in batches, drawn evenly."""
    samples = few_of(material.training, LOOKED_AT)
    for start in range(0, len(samples), AT_ONCE):
        paths = [material.images.path(sample) for sample in samples[start : start + AT_ONCE]]
        images = [read_image(path, spec.image_mode, spec.window) for path in paths]
        yield standardised(np.stack([pixels_of(image, spec) for image in images]), spec)


def _opened(
    trained: TrainedModel | Ensemble, spec: InputSpec, exporter: Exporter, file: Path, precision: str
) -> ExportedModel:
    """Make what has been written ready to predict, as whoever gets it will."""
    outputs = trained.task.outputs(len(trained.classes))
    compute = exporter.open(file, spec.input_size, outputs, trained.scored)
    about = Description(trained.classes, spec, trained.task, trained.calibration)
    return ExportedModel(
        compute, about, trained.name, trained.tta, precision, exporter.needs[0], trained.scored
    )
