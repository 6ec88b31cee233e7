"""``hemf calibrate``: let a trained model know how far its confidence can be trusted."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from hemf.config.options import TTA
from hemf.core.errors import HemfError
from hemf.core.text import counted

if TYPE_CHECKING:
    import numpy as np

    from hemf.calibration.record import Calibration
    from hemf.data.dataset import Sample
    from hemf.evaluation.samples import Subject


def calibrate(
    run: str,
    coverage: float = 0.9,
    conditional: Literal["none", "class"] = "none",
    split: str = "val",
    sensitivity: float | list[float] | dict[str, float] | None = 0.95,
    specificity: float | list[float] | dict[str, float] | None = None,
    apart: bool = False,
    data: str | None = None,
    fold: int | None = None,
    tta: TTA | None = None,
    batch_size: int = 32,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    workers: int | None = None,
    device: str = "auto",
) -> "Calibration":
    """Fit a model's temperature, prediction sets and operating points.

    Needs labelled images that the model was not trained on, by default the run's validation images. What is
    fitted is written into the model's config.json, in place of what is there; evaluate and predict use it
    from then on, and evaluations that were made before are marked as such. An ensemble's is written into
    ensemble.json of the cross-validation, or beside the first of several runs. Training ends with this
    command's default settings.

    Args:
        run: a run's folder, its model folder (which then needs --data), or for an ensemble a
            cross-validation's folder or several runs with commas between. A cross-validation is calibrated on
            the images of its folds, each as the one run predicts it that left it out; with --data on the
            ensemble itself.
        coverage: share of images whose prediction set is to hold the true class.
        conditional: class for a set that holds it so often in every class, not only over all images; rare
            classes then have larger sets, and one with too few images is in all of them.
        split: images to fit on: val, test, or all; images of the run's training are
            refused, by file and picture.
        sensitivity: choose for each class the threshold that reaches it; one share, a list such as
            0.9,0.95, or shares by class such as {MEL: 0.95}; null for none.
        specificity: choose thresholds by it too; written like --sensitivity.
        apart: fit the temperature on one half of the images and the prediction sets on the other, with no
            patient or lesion in both.
        data: another data set of the same classes; by default the run's own, split as the run was.
        fold: fold whose split is meant, where --data was prepared with k folds.
        tta: views of each image that probabilities are averaged over: flip (it and its mirror image), flips
            (also upside down), dihedral (all eight, of square inputs), or none; by default those of the
            calibration that is replaced.
        batch_size: images that go through the model at once.
        precision: format of the numbers: auto takes bf16 or fp16 autocast where the hardware is fast at it,
            else fp32.
        workers: processes that read images; by default one a core, at most 8.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.

    Returns:
        What was fitted, and what the images were too few for.

    Raises:
        HemfError: no such run, split or images, images that were trained on, or shares outside 0 to 1.
    """
    from rich.console import Console
    from rich.text import Text

    from hemf.calibration.fit import CALIBRATIONS, check_rates, describe
    from hemf.evaluation.cross_validation import left_out_predictions, left_out_side, left_out_subject
    from hemf.evaluation.provenance import chose_checkpoint
    from hemf.evaluation.samples import subject_of
    from hemf.evaluation.seen_in_training import PATIENCE
    from hemf.evaluation.stale import mark_stale, stale_line
    from hemf.inference.ensemble import Ensemble, save_calibration
    from hemf.inference.stream import InferenceOptions, predict_samples
    from hemf.metrics.calibration import confidence_report
    from hemf.models.hub import add_to_config
    from hemf.report.terminal import show_calibration
    from hemf.runs.folder import open_runs

    runs, options = open_runs(run), InferenceOptions(batch_size, workers, precision, device, tta)
    if runs.home.is_export:
        raise HemfError(f"{run} is an export; calibrate its run, and export that again")
    folds = runs.folds if data is None else None
    if folds and (split != "val" or fold is not None):
        raise HemfError(
            f"{run} is a cross-validation, calibrated on what its folds left out; give neither --split nor "
            "--fold"
        )
    subject = (
        left_out_subject(runs, tta, PATIENCE) if folds else subject_of(run, split, data, fold, tta, PATIENCE)
    )
    trained, images, samples = subject.trained, subject.images, subject.samples
    fit = CALIBRATIONS.find(trained.task.name)
    check_rates(coverage, sensitivity, specificity, trained.classes)
    check_unseen(subject)
    halves = _halves(samples) if apart else None
    if folds:
        found = left_out_predictions(subject, options, "calibrating")
        chose = chose_checkpoint(replace(subject, split=left_out_side(folds)))
    else:
        found = predict_samples(trained, images, samples, options, "calibrating", subject.speaking)
        chose = chose_checkpoint(subject)
    about = describe(images, samples, subject.split, chose_checkpoint=chose, apart=apart, tta=trained.tta)
    rates = coverage, sensitivity, specificity
    fitted = fit(found.logits, found.labels, found.classes, about, *rates, halves, found.groups, conditional)
    if isinstance(trained, Ensemble):
        save_calibration(runs, trained, fitted)
    else:
        add_to_config(runs.home.model, "hemf", {"calibration": fitted.to_config()})
    outdated = [] if fitted == trained.calibration else mark_stale(runs)
    console = Console()
    console.print(Text(fitted.summary()))
    console.print("On these images themselves, so too good:")
    show_calibration(console, confidence_report(found.with_calibration(fitted), fitted))
    if outdated:
        console.print(Text(stale_line(outdated, run)), soft_wrap=True)
    return fitted


def check_unseen(subject: "Subject") -> None:
    """Refuse images that the run was trained on, or may have been; say where the run is not at hand.

    Raises:
        HemfError: the run was trained on some of the images or of their patients, or that cannot be found
            out.
    """
    from hemf.evaluation.provenance import are_of_run, changed_since, shows_trained_groups

    samples, seen = subject.samples, subject.seen
    if seen is None:
        print("note: whether the model was trained on these images is unknown, for its run is not at hand")
        return
    if seen.number:
        here, there = next(iter(seen.twins.items()))
        how = (
            "the same file as"
            if any(here in one.same for one in seen.all)
            else "which shows the same picture as"
        )
        raise HemfError(
            f"the run was trained on {seen.number} of these {counted(len(samples), 'image')}, where it is "
            f"too sure of itself (first {here}, {how} the training image {there}); give --split val, or "
            "other images with --data"
        )
    if seen.doubts:
        raise HemfError(
            f"whether the run was trained on these images cannot be checked: {seen.doubts[0]}; put the "
            "run's images back where they were, or give others"
        )
    if changed := changed_since(subject):
        print(
            f"warning: {len(changed)} of these {counted(len(samples), 'image')} are no longer the files "
            f"that the run was trained and split on (first {changed[0]}); the fit is to what is there now"
        )
    if known := shows_trained_groups(subject, before=are_of_run(subject)):
        raise HemfError(
            f"{known} of these {counted(len(samples), 'image')} show patients or lesions that the run was "
            "trained on, where it is too sure of itself; give images of other patients"
        )


def _halves(samples: list["Sample"]) -> "np.ndarray":
    """Return which samples are for the sets: about half, stratified by class, with no group on both sides."""
    import numpy as np

    from hemf.data.splits import assign

    halves = np.array(assign(samples, [0.5, 0.5], seed=0), bool)
    if halves.all() or not halves.any():
        raise HemfError(
            "these images show a single patient or lesion and cannot be halved; leave out --apart"
        )
    return halves
