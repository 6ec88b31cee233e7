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
from hemf.exporting import EXPORTERS
from hemf.exporting.folder import WRITTEN, check_place, configuration, write_beside
from hemf.exporting.network import exported, input_of_all
from hemf.exporting.parity import parity_of, shortcomings
from hemf.exporting.registry import Exporter, Job
from hemf.inference.ensemble import Ensemble
from hemf.inference.load import TrainedModel
from hemf.inference.stream import InferenceOptions, predict_samples
from hemf.metrics.bootstrap import Draws
from hemf.runs.folder import OpenRuns
from hemf.runtime import ExportedModel
from hemf.runtime.description import Description

LOOKED_AT, AT_ONCE = 200, 10


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
    kind: str,
    precision: str,
    margin: float,
    force: bool,
    workers: int | None,
) -> Export:
    """Write an export to ``target``, whole or not at all.

    Args:
        trained: the model, or several that are to speak as one.
        runs: where they are.
        material: images to measure on.
        target: the folder to make.
        kind: name of the format.
        precision: format of the numbers in the weights.
        margin: points that an export of lower precision may lose.
        force: keep one that differs too much.
        workers: processes and threads that read images.

    Raises:
        HemfError: the network does not export, or what is written differs too much from it.
    """
    exporter, spec = _exporter(kind, precision), input_of_all(trained)
    check_place(target, runs)
    options = InferenceOptions(workers=workers, precision="fp32", device="cpu")
    with whole_folder(target, WRITTEN) as staging:
        about = exporter.write(_job(trained, spec, material, precision), staging)
        file = staging / exporter.file
        model = _opened(trained, spec, exporter, file, precision)
        original = predict_samples(trained, material.images, material.samples, options, "the model")
        measured = predict_samples(model, material.images, material.samples, options, "the export")
        parity = parity_of(original, measured, Draws())
        too_far = shortcomings(parity, precision, margin)
        if too_far and not force:
            where = counted(parity["n"], f"{material.split} image")
            raise HemfError(
                f"not exported, for on {where} {'; '.join(too_far)}; --force exports it all the same"
            )
        data = {"name": material.images.name, "hash": material.images.hash}
        where = {"data": data, "split": material.split, "margin": margin, "shortcomings": too_far}
        about = {"format": kind, "precision": precision, **about}
        config = configuration(trained, spec, runs, about, [staging / name for name in exporter.files])
        write_beside(staging, config, parity | where, runs, exporter.needs)
    return Export(target, parity | where)


def _exporter(kind: str, precision: str) -> Exporter:
    exporter = EXPORTERS.find(kind)
    if precision not in exporter.precisions:
        known = " or ".join(exporter.precisions)
        raise HemfError(f"--precision {precision} does not go with --format {kind}; give {known}")
    return exporter


def _job(trained: TrainedModel | Ensemble, spec: InputSpec, material: Material, precision: str) -> Job:
    if precision == "int8" and not material.training:
        raise HemfError(
            f"int8 looks at training images, of which {material.images.name} has none; give --data with a "
            "training split, or --precision fp16"
        )
    images = torch.randn(2, *spec.input_size, generator=torch.Generator().manual_seed(0))
    return Job(exported(trained), images, precision, trained.name, partial(_training_images, spec, material))


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
    compute = exporter.open(file, spec.input_size, outputs)
    about = Description(trained.classes, spec, trained.task, trained.calibration)
    return ExportedModel(compute, about, trained.name, trained.tta, precision, exporter.needs[0])


def few_of(samples: list[Sample], most: int) -> list[Sample]:
    """Return at most so many of the samples, drawn evenly, the same ones every time, in their order."""
    if len(samples) <= most:
        return samples
    kept = np.sort(np.random.default_rng(0).choice(len(samples), most, replace=False))
    return [samples[i] for i in kept]
