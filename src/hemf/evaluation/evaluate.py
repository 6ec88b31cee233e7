"""Measures a run on some images: the report that ``metrics.json`` holds, and the predictions behind it."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hemf.evaluation.asked import NOTHING, Asked
from hemf.evaluation.external.measure import is_external, measure_external
from hemf.evaluation.provenance import provenance
from hemf.evaluation.samples import Subject
from hemf.inference.predictions import Predictions
from hemf.inference.stream import InferenceOptions, predict_samples
from hemf.metrics import MEASURES
from hemf.metrics.bootstrap import Draws
from hemf.metrics.calibration import shares_images
from hemf.metrics.wording import measure_text
from hemf.runs.environment import environment
from hemf.runtime import ExportedModel
from hemf.tasks import MULTICLASS

if TYPE_CHECKING:
    from hemf.core.precision import PrecisionOption


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found.

    Args:
        predictions: what the model says of each image.
        report: all that ``metrics.json`` holds, ``per_class`` and ``confusion_matrix`` among it.
        folder: where the files are.
    """

    predictions: Predictions
    report: dict[str, Any]
    folder: Path

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.report["split"]

    @property
    def n(self) -> int:
        """Number of images."""
        return self.report["n"]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The split's measures by name, each with ``value``, ``n`` and mostly ``ci95``."""
        return self.report["metrics"]

    def __str__(self) -> str:
        names = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_macro")
        shown = [name for name in names if name in self.metrics] or list(self.metrics)
        found = ", ".join(f"{name} {measure_text(self.metrics[name])}" for name in shown)
        return f"{self.report['data']['name']} {self.split}, n = {self.n}: {found} ({self.folder})"


def measure(
    run: str, subject: Subject, options: InferenceOptions, draws: Draws, asked: Asked = NOTHING
) -> Evaluation:
    """Measure a run's model on the images of ``subject``; nothing is written.

    Args:
        run: what the run is called.
        subject: its model and the images.
        options: how to compute.
        draws: the bootstrap's.
        asked: what else is measured.

    Raises:
        HemfError: an image cannot be read, or an option is bad.
    """
    trained, images = subject.trained, subject.images
    asked.check(images)
    options = options.picked() if not isinstance(trained, ExportedModel) else _of_export(trained, options)
    measures = MEASURES.find(trained.task.name)
    started = time.perf_counter()
    found = predict_samples(trained, images, subject.samples, options, "evaluating", subject.speaking)
    seconds = time.perf_counter() - started
    report = {
        "split": subject.split,
        **provenance(subject),
        "fitted_calibration": any(
            shares_images(one.calibration, images.hash, subject.split) for one in (trained, *trained.members)
        ),
        **({} if trained.task is MULTICLASS else {"task": trained.task.name}),
        "model": trained.name,
        "run": str(run),
        **_of_ensemble(subject, found),
        **measures.measure(found, trained.calibration),
        "seconds": seconds,
        "images_per_second": len(found.paths) / seconds,
        "precision": options.precision,
        **({"runtime": trained.runtime} if isinstance(trained, ExportedModel) else {}),
        "batch_size": options.batch_size,
        "device": str(options.device),
        "tta": trained.tta,
        "calibrated_under_tta": trained.calibrated_under,
        "environment": environment(options.precision),
    }
    report = measures.with_intervals(report, found, trained.calibration, draws)
    report |= asked.entries(found, trained.calibration, images, draws)
    if is_external(subject):
        report["external"] = measure_external(subject, found, report, draws).to_json()
    return Evaluation(found, report, subject.folder)


def _of_export(trained: ExportedModel, options: InferenceOptions) -> InferenceOptions:
    """Return the options with the device and the precision of an export, which nobody can choose."""
    device, precision = trained.computes_on(str(options.device), options.precision)
    return replace(options, device=device, precision=cast("PrecisionOption", precision))


def _of_ensemble(subject: Subject, found: Predictions) -> dict[str, Any]:
    """Name the members of an ensemble, and how far they disagree on the images that several speak of."""
    if found.disagreement is None:
        return {}
    known = found.disagreement[~np.isnan(found.disagreement)]
    mean = float(known.mean()) if len(known) else None
    members = [str(one.path or one.model) for one in subject.runs.members]
    return {"members": members, "disagreement": {"value": mean, "n": len(known)}}
