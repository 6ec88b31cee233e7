"""Measures a run, or a cross-validation, and writes all files of its evaluation."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.core.text import printable
from hemf.data.manifest import read_data_set
from hemf.evaluation.cross_validation import pool
from hemf.evaluation.evaluate import Evaluation, measure
from hemf.evaluation.folders import folder_name, replaced_line
from hemf.evaluation.samples import subject_of
from hemf.figures.classification import save_figure
from hemf.inference.predictions import write_groups, write_predictions
from hemf.inference.stream import InferenceOptions
from hemf.metrics.bootstrap import Draws
from hemf.report.html import write_report
from hemf.report.registry import report_of
from hemf.report.worst_mistakes import MOST, Mistake, heat_mapped, picture_mistakes
from hemf.runs.folder import is_model


def evaluate_run(
    run: str, split: str, data: str | None, fold: int | None, options: InferenceOptions, draws: Draws
) -> tuple[Evaluation, list[Mistake]]:
    """Measure a run on a split and write the evaluation; arguments and errors as for ``hemf.evaluate``.

    Returns:
        What was found, and the worst mistakes.
    """
    subject = subject_of(run, split, data, fold, options.tta)
    found = measure(run, subject, options, draws)
    _say_replaced(found.folder)
    if not subject.own:
        write_groups(found.folder / "groups.csv", found.predictions)
    indices = report_of(found.report).mistakes(found.predictions)
    heated = heat_mapped(subject.trained.model)
    mistakes = picture_mistakes(subject.trained, found.predictions, indices, subject.images.root, heated)
    _write(found, subject.opened.path, mistakes)
    return found, mistakes


def evaluate_folds(path: str, folds: Sequence[Path], options: InferenceOptions, draws: Draws) -> Evaluation:
    """Measure each fold of a cross-validation on the images that it left out, then all of them together.

    Raises:
        HemfError: a fold has not finished, or cannot be measured.
    """
    if unfinished := [fold for fold in folds if not is_model(fold / "model")]:
        again = f"hemf train --resume {shlex.quote(str(path))}"
        raise HemfError(f"{unfinished[0]} has not finished; continue the cross-validation with {again}")
    of_folds = [evaluate_run(str(fold), "test", None, None, options, draws) for fold in folds]
    folder = Path(path) / "evaluation" / folder_name("test")
    _say_replaced(folder)
    found = pool(path, read_data_set(Path(path)), [one for one, _ in of_folds], folder, draws)
    mistakes = sorted((one for _, ones in of_folds for one in ones), key=lambda one: -one.probability)
    _write(found, Path(path), mistakes[:MOST])
    return found


def _say_replaced(folder: Path) -> None:
    """Say on the screen which evaluation this one takes the place of."""
    if line := replaced_line(folder):
        print(printable(line))


def _write(found: Evaluation, run: Path | None, mistakes: Sequence[Mistake]) -> None:
    """Write all files of an evaluation, ``metrics.json`` last: where it is, the others are."""
    folder = found.folder
    write_predictions(folder / "predictions.csv", found.predictions)
    for name, figure in report_of(found.report).figures(found).items():
        save_figure(figure, folder / name)
    write_report(folder, found.report, run, mistakes)
    write_json(folder / "metrics.json", found.report)
