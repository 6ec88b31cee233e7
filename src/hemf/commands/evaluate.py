"""``hemf evaluate``: how good a run is on some images, and how that was measured."""

from typing import TYPE_CHECKING, Literal

from hemf.config.options import TTA
from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from hemf.evaluation.evaluate import Evaluation


def evaluate(
    run: str,
    split: str = "test",
    data: str | None = None,
    fold: int | None = None,
    tta: TTA | None = None,
    batch_size: int = 32,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    workers: int | None = None,
    device: str = "auto",
    resamples: int = 2000,
    seed: int = 0,
) -> "Evaluation":
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
        tta: views of each image that probabilities are averaged over: flip (it and its mirror image), flips
            (also upside down), dihedral (all eight, of square inputs), or none; by default those that the
            calibration was fitted under.
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
    from hemf.inference.stream import InferenceOptions
    from hemf.metrics.bootstrap import Draws
    from hemf.report.evaluation import evaluate_folds, evaluate_run
    from hemf.report.registry import report_of
    from hemf.runs.folder import fold_paths

    options, draws = InferenceOptions(batch_size, workers, precision, device, tta), Draws(resamples, seed)
    folds = fold_paths(run)
    if folds and (split != "test" or data is not None or fold is not None):
        raise HemfError(
            f"{run} is a cross-validation, which is measured on the images its folds left out; "
            f"for another split, data set or fold give one of its runs, such as {folds[0]}"
        )
    if folds:
        found = evaluate_folds(run, folds, options, draws)
    else:
        found, _ = evaluate_run(run, split, data, fold, options, draws)
    report_of(found.report).show(found.report, found.folder)
    return found
