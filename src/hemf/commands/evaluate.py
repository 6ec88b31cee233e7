"""``hemf evaluate``: how good a run is on some images, written down with how that is known."""

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hemf.core.errors import HemfError
from hemf.core.files import whole_file, write_json
from hemf.core.text import printable
from hemf.evaluation.folders import folder_name, replaced_line
from hemf.metrics.wording import measure_text
from hemf.report.terminal import show

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

    from hemf.data.dataset import DataSet, Sample
    from hemf.inference.stream import TrainedModel
    from hemf.report.worst_mistakes import Explain, Mistake
    from hemf.runs.folder import OpenRun


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found.

    Args:
        split: name of the split.
        n: its number of images.
        metrics: the split's measures by name, each with ``value``, ``n`` and mostly ``ci95``.
        report: all that ``metrics.json`` holds, ``per_class`` and ``confusion_matrix`` among it.
        folder: where the files are.
    """

    split: str
    n: int
    metrics: dict[str, dict[str, Any]]
    report: dict[str, Any]
    folder: Path

    def __str__(self) -> str:
        names = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_macro")
        found = ", ".join(f"{name} {measure_text(self.metrics[name])}" for name in names)
        return f"{self.report['data']['name']} {self.split}, n = {self.n}: {found} ({self.folder})"


def evaluate(
    run: str,
    split: str = "test",
    data: str | None = None,
    fold: int | None = None,
    batch_size: int = 32,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    workers: int | None = None,
    device: str = "auto",
    resamples: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Measure a run on one split of its data, or on another data set.

    Writes a report (report.html, tables.md, tables.tex), metrics.json, predictions.csv and figures (SVG and
    PNG) into evaluation/SPLIT of the run, or evaluation/NAME-SPLIT-HASH for another data set, and prints the
    metrics, each with the number of images it rests on and a 95% interval. Probabilities are calibrated where
    the model is. Another data set may lack some of the model's classes, and may be of a single one; one
    without a split of its own is all test. Of a cross-validation every fold's run is measured on the images
    it was not trained on, then all of them together.

    Args:
        run: a run's folder, a cross-validation's, or a model folder, which then needs --data.
        split: images to measure on: train, val, test, or all.
        data: another data set of the same classes; by default the run's own, split as the run was.
        fold: fold to test on, where --data was prepared with k folds.
        batch_size: images that go through the model at once.
        precision: format of the numbers: auto takes bf16 or fp16 autocast where the hardware is fast at it,
            else fp32.
        workers: processes that read images; by default one a core, at most 8.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.
        resamples: bootstrap resamples, of patients or lesions where they are known; 0 leaves only the
            intervals of proportions, by Wilson's formula.
        seed: seed of the resamples.

    Raises:
        HemfError: no such run, split or images, classes that the model does not know, or an unreadable image.
    """
    from hemf.metrics.bootstrap import check_draws
    from hemf.runs.folder import fold_paths

    check_draws(resamples, seed)
    how = {"batch_size": batch_size, "precision": precision, "workers": workers, "device": device}
    how |= {"resamples": resamples, "seed": seed}
    folds = fold_paths(run)
    if folds and (split != "test" or data is not None or fold is not None):
        raise HemfError(
            f"{run} is a cross-validation, which is measured on the images its folds left out; "
            f"for another split, data set or fold give one of its runs, such as {folds[0]}"
        )
    found = _pooled(Path(run), folds, how) if folds else _measured(run, split, data, fold, **how)[0]
    show(found.report, found.folder)
    return found


def _pooled(path: Path, folds: Sequence[Path], how: dict[str, Any]) -> Evaluation:
    """A cross-validation: each fold on its own test images, then all images."""
    from hemf.data.manifest import read_data_set
    from hemf.evaluation.cross_validation import pool
    from hemf.metrics.calibration_intervals import add_confidence_intervals
    from hemf.metrics.intervals import add_intervals
    from hemf.report.worst_mistakes import MOST
    from hemf.runs.folder import is_model

    if unfinished := [fold for fold in folds if not is_model(fold / "model")]:
        raise HemfError(
            f"{unfinished[0]} has not finished; continue the cross-validation with hemf train --resume {path}"
        )
    of_folds = [_measured(str(fold), "test", None, None, **how) for fold in folds]
    data, folder = read_data_set(path), path / "evaluation" / folder_name("test")
    _say_replaced(folder)
    report, labels, probabilities = pool(
        path, data, [one.folder for one, _ in of_folds], [one.report for one, _ in of_folds]
    )
    drawn = ([s.group for s in data.samples], how["resamples"], how["seed"])
    add_intervals(report, labels, probabilities, *drawn)
    add_confidence_intervals(report, labels, probabilities, *drawn)
    mistakes = sorted((one for _, found in of_folds for one in found), key=lambda one: -one.probability)
    _write(folder, report, data.samples, labels, probabilities, path, mistakes[:MOST])
    return Evaluation("test", report["n"], report["metrics"], report, folder)


def _measured(
    run: str,
    split: str,
    data: str | None,
    fold: int | None,
    batch_size: int,
    precision: str,
    workers: int | None,
    device: str,
    resamples: int,
    seed: int,
) -> tuple[Evaluation, list["Mistake"]]:
    """A run on one split, everything but the screen; and its worst mistakes."""
    from hemf.calibration.record import UNCALIBRATED
    from hemf.evaluation.samples import images_of, labels_of, logits_of, samples_of
    from hemf.inference.stream import load_trained
    from hemf.metrics.calibration import all_probabilities, confidence_report, shares_images
    from hemf.metrics.calibration_intervals import add_confidence_intervals
    from hemf.metrics.classification import classification_metrics
    from hemf.metrics.intervals import add_intervals
    from hemf.report.worst_mistakes import picture_mistakes
    from hemf.runs.folder import open_run

    opened = open_run(run)
    images = images_of(opened, data, fold)
    trained = load_trained(opened.model)
    samples = samples_of(images, split, trained.classes)
    started = time.perf_counter()
    logits, used = logits_of(
        trained, images, samples, batch_size, workers, precision, device, words="evaluating"
    )
    seconds = time.perf_counter() - started
    labels = labels_of(samples, trained.classes)
    calibration = trained.calibration
    probabilities = all_probabilities(calibration, logits)
    report = {
        "split": split,
        **_provenance(opened, data is None, images, samples, split),
        "fitted_calibration": shares_images(calibration, images.hash, split),
        "model": trained.name,
        "run": str(run),
        **classification_metrics(labels, probabilities, trained.classes),
        **confidence_report(labels, logits, trained.classes, calibration),
        "seconds": seconds,
        "images_per_second": len(samples) / seconds,
        **used,
    }
    drawn = ([s.group for s in samples], resamples, seed)
    add_intervals(report, labels, probabilities, *drawn)
    before = None if calibration.temperature is None else all_probabilities(UNCALIBRATED, logits)
    add_confidence_intervals(report, labels, probabilities, *drawn, calibration, before)
    folder = (
        (opened.path or opened.model)
        / "evaluation"
        / folder_name(split, None if data is None else images, fold)
    )
    _say_replaced(folder)
    if data is not None:
        write_groups(folder / "groups.csv", samples)
    paths, files = [s.path for s in samples], [images.path(s) for s in samples]
    mistakes = picture_mistakes(trained, paths, files, labels, probabilities, _heated(trained))
    _write(folder, report, samples, labels, probabilities, opened.path, mistakes)
    return Evaluation(split, len(samples), report["metrics"], report, folder), mistakes


def _say_replaced(folder: Path) -> None:
    """Say on the screen which evaluation this one takes the place of."""
    if line := replaced_line(folder):
        print(printable(line))


def _heated(trained: "TrainedModel") -> "Explain":
    """Draws a picture under the model's heat map; the one place where evaluation meets explanation."""
    from hemf.explanation.gradcam import heat_maps
    from hemf.explanation.overlay import overlay

    def heated(image: "Image.Image", seen: "Tensor", target: int) -> "Image.Image":
        heat = heat_maps(trained.model, seen, [target])[0]
        if not heat.any():
            raise HemfError("the heat map is blank")
        return overlay(image, heat)

    return heated


def _provenance(
    opened: "OpenRun", own: bool, images: "DataSet", samples: Sequence["Sample"], split: str
) -> dict[str, Any]:
    """How the split came about, and what may make its numbers too good.

    ``groups_on_two_sides`` counts the patients or lesions of this split that are on another side too (None
    where no groups are known), ``images_of_those_groups`` their images here; ``images_trained_on`` counts
    images of this split that the run was trained on (None where that is unknown; ``trained_on`` says how
    that was found out), ``images_changed`` those of the run's own that are other files now (None where
    that is unknown), ``images_of_groups_trained_on`` those of another data set of the same source whose
    patient or lesion the run was trained on, and ``chose_checkpoint`` says whether the run's best checkpoint
    was chosen on this very split.
    """
    from hemf.evaluation.samples import changed_since, is_own, manifest_of, shows_trained_groups
    from hemf.evaluation.seen_in_training import seen_in_training

    ours = manifest_of(opened)
    seen = None if ours is None else seen_in_training(ours, images, samples)
    changed = changed_since(ours, images, samples)
    groups = images.leaking_groups() if images.groups and split != "all" else {}
    known = bool(images.groups) and split != "all"
    about = images.info.get("split", {})
    return {
        "split_method": about.get("method"),
        "split_info": about,
        "groups_on_two_sides": len({s.group for s in samples if s.group in groups}) if known else None,
        "images_of_those_groups": sum(s.group in groups for s in samples) if known else None,
        "images_trained_on": None if seen is None else seen.number,
        "trained_on": None if seen is None else seen.to_json(),
        "images_changed": None if changed is None else len(changed),
        "images_of_groups_trained_on": None if own else shows_trained_groups(ours, images, samples),
        "chose_checkpoint": is_own(ours, images) and opened.config.val_split == split,
        "data": {"name": images.name, "hash": images.hash, "own": own},
    }


def _write(
    folder: Path,
    report: dict[str, Any],
    samples: Sequence["Sample"],
    labels: "np.ndarray",
    probabilities: "np.ndarray",
    run: Path | None,
    mistakes: "Sequence[Mistake]",
) -> None:
    """All files of an evaluation, ``metrics.json`` last: where it is, the others are."""
    from hemf.figures.classification import (
        confusion_figure,
        precision_recall_figure,
        roc_figure,
        save_figure,
    )
    from hemf.figures.reliability import reliability_figure
    from hemf.report.html import write_report

    classes, head = report["classes"], f"{report['data']['name']} {report['split']}, n = {report['n']}"
    with whole_file(folder / "predictions.csv") as temporary:
        write_predictions(temporary, samples, classes, probabilities)
    title = f"{head}: accuracy {measure_text(report['metrics']['accuracy'])}"
    save_figure(confusion_figure(report["confusion_matrix"], classes, title), folder / "confusion-matrix")
    title = f"{head}: macro ROC AUC {measure_text(report['metrics']['roc_auc_macro'])}"
    save_figure(roc_figure(labels, probabilities, classes, title), folder / "roc")
    title = f"{head}: macro average precision {measure_text(report['metrics']['average_precision_macro'])}"
    figure = precision_recall_figure(labels, probabilities, classes, title)
    save_figure(figure, folder / "precision-recall")
    save_figure(reliability_figure(report["calibration"], head), folder / "reliability")
    write_report(folder, report, run, mistakes)
    write_json(folder / "metrics.json", report)


def write_groups(path: Path, samples: Sequence["Sample"]) -> None:
    """Patient or lesion of each image of another data set; those of the run's own are in its manifest."""
    with (
        whole_file(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["path", "group"])
        writer.writerows([sample.path, sample.group] for sample in samples)


def write_predictions(
    path: Path, samples: Sequence["Sample"], classes: Sequence[str], probabilities: "np.ndarray"
) -> None:
    """A row for each image: path, label, prediction, and the probability of every class, to the last bit."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "prediction", *classes])
        for sample, row in zip(samples, probabilities, strict=True):
            writer.writerow([sample.path, sample.label, classes[row.argmax()], *row.tolist()])
