"""Pools a cross-validation: the predictions of all folds together, and the measures of each fold."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from hemf.calibration.record import UNCALIBRATED
from hemf.config.options import TTA
from hemf.data.dataset import DataSet
from hemf.data.manifest import read_data_set
from hemf.evaluation.asked import NOTHING, Asked
from hemf.evaluation.evaluate import Evaluation
from hemf.evaluation.samples import Subject
from hemf.inference.ensemble import load_ensemble
from hemf.inference.predictions import Predictions, pooled
from hemf.inference.stream import InferenceOptions, predict_samples
from hemf.metrics import MEASURES
from hemf.metrics.bootstrap import Draws
from hemf.runs.folder import OpenRuns

OF_THE_LAST = ("model", "precision", "batch_size", "device", "tta", "calibrated_under_tta", "environment")


def pool(
    path: str,
    data: DataSet,
    of_folds: Sequence[Evaluation],
    folder: Path,
    draws: Draws,
    split: str = "test",
    asked: Asked = NOTHING,
) -> Evaluation:
    """Pool the evaluations of the folds of a cross-validation.

    Every image has one prediction, by the model that has not seen its fold. The pooled measures treat them as
    one model's; ranking measures (ROC AUC, average precision) then also compare images across models.

    Args:
        path: folder of the cross-validation.
        data: its images, each with its fold.
        of_folds: each fold's evaluation, in the order of ``data.folds``.
        folder: where the pooled evaluation belongs.
        draws: the bootstrap's.
        split: which side the fold of a run is of it: ``test``, or ``val`` where test images were kept apart.
        asked: what else is measured.

    Returns:
        Its report is that of a run, with ``folds`` (number, images and every measure of each),
        ``across_folds`` (mean and standard deviation of every measure over the folds that have it) and, in
        ``calibration``, ``fold_temperatures`` (None where a fold's model is not calibrated); its predictions
        are in the manifest's order.
    """
    reports = [one.report for one in of_folds]
    found = pooled(
        [one.predictions for one in of_folds], [s.path for s in data.samples if s.fold is not None]
    )
    measures = MEASURES.find(found.task.name)
    seconds = sum(report["seconds"] for report in reports)
    folds = [_measures(fold, report) for fold, report in zip(data.folds, reports, strict=True)]
    report = {
        "split": split,
        **_provenance(data, reports),
        "run": str(path),
        **measures.measure(found, UNCALIBRATED),
        "folds": folds,
        "across_folds": {name: _spread([one[name] for one in folds]) for name in reports[0]["metrics"]},
        "seconds": seconds,
        "images_per_second": len(found.paths) / seconds,
        **{name: reports[-1][name] for name in OF_THE_LAST},
    }
    if confidence := report.get("calibration"):
        temperatures = [one["calibration"]["temperature"] for one in reports]
        report["calibration"] = confidence | {"fold_temperatures": temperatures}
    report = measures.with_intervals(report, found, UNCALIBRATED, draws)
    report |= asked.entries(found, UNCALIBRATED, data, draws)
    return Evaluation(found, report, folder)


def left_out_side(path: Path) -> str:
    """Return what the fold of a cross-validation's run is to it: ``test``, or ``val`` beside test images."""
    return "val" if read_data_set(path).keeps_test else "test"


def left_out_subject(runs: OpenRuns, tta: TTA | None, seconds: float) -> Subject:
    """Return the images of a cross-validation's folds, and its runs as an ensemble.

    Args:
        runs: those of the cross-validation.
        tta: test-time augmentation; None for what they were calibrated under.
        seconds: as for ``subject_of``.

    Raises:
        HemfError: images are missing, or the runs do not agree.
    """
    assert runs.folds is not None, "only folds leave images out"
    data, folder = runs.home.data, runs.folds / "evaluation"
    samples = [s for s in data.samples if s.fold is not None]
    return Subject(runs, load_ensemble(runs, tta), data, samples, "out-of-fold", folder, True, seconds)


def left_out_predictions(subject: Subject, options: InferenceOptions, words: str) -> Predictions:
    """Predict the images of a cross-validation's folds, each by the run that left it out.

    Args:
        subject: see ``left_out_subject``.
        options: how to compute.
        words: what stands before the progress bar.

    Returns:
        Its logits are those of the runs' calibrated probabilities, classes in the ensemble's order.

    Raises:
        HemfError: an image cannot be read, or an option is bad.
    """
    parts = []
    for member, opened in zip(subject.trained.members, subject.runs.members, strict=True):
        data = opened.data
        here = data.subset("val" if subject.images.keeps_test else "test")
        parts.append(predict_samples(member, data, here, options, words))
    found = pooled(parts, [s.path for s in subject.samples])
    return replace(found, logits=found.task.logits(torch.from_numpy(found.probabilities)).float())


def _measures(fold: int, report: dict[str, Any]) -> dict[str, Any]:
    values = {name: measure["value"] for name, measure in report["metrics"].items()}
    return {"fold": fold, "n": report["n"]} | values


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    return {
        "mean": fmean(known) if known else None,
        "std": stdev(known) if len(known) > 1 else None,
        "folds": len(known),
    }


def _provenance(data: DataSet, reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what may make the pooled numbers too good: the folds' own warnings, added up."""
    trained_on = [report["images_trained_on"] for report in reports]
    changed = [report["images_changed"] for report in reports]
    sides = [replace(s, split="") for s in data.samples if s.fold is not None]  # a fold against the others
    about, folds = data.info.get("split", {}), replace(data, samples=sides)
    leaking = folds.leaking_groups()
    return {
        "split_method": about.get("method"),
        "split_info": about,
        "groups_on_two_sides": len(leaking) if data.groups else None,
        "images_of_those_groups": sum(folds.leaks().values()) if data.groups else None,
        "images_trained_on": None if None in trained_on else sum(trained_on),
        "images_changed": None if None in changed else sum(changed),
        "chose_checkpoint": any(report["chose_checkpoint"] for report in reports),
        "fitted_calibration": any(report["fitted_calibration"] for report in reports),
        "data": {"name": data.name, "hash": data.hash, "own": True},
    }
