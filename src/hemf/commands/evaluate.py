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
    by: str | None = None,
    smallest: int = 10,
    map: str | None = None,
) -> "Evaluation":
    """Measure a run on one split of its data, or on another data set.

    Writes a report (report.html, tables.md, tables.tex), metrics.json, predictions.csv and figures (SVG and
    PNG) into evaluation/SPLIT of the run, or evaluation/NAME-SPLIT-HASH for another data set, and prints the
    metrics, each with the number of images it rests on and a 95% interval. Probabilities are calibrated where
    the model is. Another data set may lack some of the model's classes, and may be of a single one; one
    without a split of its own is all test. Of images of another place it says besides what the measures would
    be with the shares of classes of the run's own data, what recalibration there would gain, and what became
    of thresholds. Of a cross-validation every fold's run is measured on the images it was not trained on,
    then all of them together. On other images, and on test images that no fold holds, its runs are an
    ensemble, as several runs are: the mean of their probabilities, without those of members that were trained
    on an image. Its evaluation is kept with the cross-validation, or with the first run.

    Args:
        run: a run's folder, its model folder (which then needs --data), or for an ensemble a
            cross-validation's folder or several runs with commas between.
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
        by: columns of the manifest whose subgroups are measured and compared, with commas between, such as
            sex,age,site; numbers are cut into quarters, or at given places: age=40/60. Images without a
            value are a subgroup of their own.
        smallest: fewest patients or lesions (or images, where none are known) of a subgroup with figures.
        map: CSV file with columns class and model_class, by which the classes of --data are those of the
            model; images of a class without a model_class are left out.

    Raises:
        HemfError: no such run, split, images or column, classes that the model does not know, or an
            unreadable image.
    """
    from hemf.core.text import printable
    from hemf.evaluation.asked import Asked
    from hemf.evaluation.cross_validation import left_out_side
    from hemf.inference.stream import InferenceOptions
    from hemf.metrics.bootstrap import Draws
    from hemf.report.evaluation import evaluate_folds, evaluate_run
    from hemf.report.external import external_lines, external_tables
    from hemf.report.registry import report_of
    from hemf.report.subgroups import MEANS, subgroup_tables
    from hemf.runs.folder import open_runs

    options, draws = InferenceOptions(batch_size, workers, precision, device, tta), Draws(resamples, seed)
    if map is not None and data is None:
        raise HemfError("--map renames the classes of another data set; give it with --data")
    asked, runs = Asked.read(by, smallest, map), open_runs(run)
    side = left_out_side(runs.folds) if runs.folds and data is None else None
    if side == "test" and (split != side or fold is not None):
        raise HemfError(
            f"{run} is a cross-validation, which is measured on the images its folds left out; "
            f"for another split or fold give one of its runs, such as {runs.members[0].path}"
        )
    if side == split:
        folds = [one.path for one in runs.members if one.path is not None]
        found = evaluate_folds(run, folds, options, draws, split, asked)
    else:
        found, _ = evaluate_run(run, split, data, fold, options, draws, asked)
    report_of(found.report).show(found.report, found.folder)
    for line in (*external_lines(found.report), *(MEANS if asked.by else ())):
        print(printable(line))
    for table in (*external_tables(found.report), *subgroup_tables(found.report)):
        table.show()
    return found
