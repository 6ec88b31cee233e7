"""Measures a run, or a cross-validation, and writes all files of its evaluation."""

from collections.abc import Sequence
from pathlib import Path

from hemf.core.files import write_json
from hemf.core.text import printable
from hemf.data.manifest import read_data_set
from hemf.evaluation.asked import NOTHING, Asked
from hemf.evaluation.cross_validation import pool
from hemf.evaluation.evaluate import Evaluation, measure
from hemf.evaluation.folders import folder_name, replaced_line
from hemf.evaluation.samples import Subject, subject_of
from hemf.figures.classification import save_figure
from hemf.inference.predictions import write_groups, write_predictions
from hemf.inference.stream import InferenceOptions
from hemf.metrics.bootstrap import Draws
from hemf.report.html import write_report
from hemf.report.material import Material
from hemf.report.registry import report_of
from hemf.report.worst_mistakes import MOST, Mistake, heat_mapped, picture_mistakes
from hemf.runs.card import update_card
from hemf.runs.folder import finished, is_model
from hemf.runtime import ExportedModel


def evaluate_run(
    run: str,
    split: str,
    data: str | None,
    fold: int | None,
    options: InferenceOptions,
    draws: Draws,
    asked: Asked = NOTHING,
) -> tuple[Evaluation, list[Mistake]]:
    """Measure a run, or several as an ensemble, and write the evaluation; as for ``hemf.evaluate``.

    Returns:
        What was found, and the worst mistakes.
    """
    subject = subject_of(run, split, data, fold, options.tta, class_map=asked.class_map)
    found = measure(run, subject, options, draws, asked)
    _say_replaced(found.folder)
    if not subject.own:
        write_groups(found.folder / "groups.csv", found.predictions)
    indices = report_of(found.report).mistakes(found.predictions)
    first, *others = subject.trained.members
    heated = None if others or isinstance(first, ExportedModel) else heat_mapped(first.model)
    mistakes = picture_mistakes(first, found.predictions, indices, subject.images.root, heated)
    _write(found, _run_of(subject), mistakes)
    return found, mistakes


def _run_of(subject: Subject) -> Path | None:
    """Return the run whose numbers these are: not those of several, nor those of an export."""
    runs = subject.runs
    alone = not runs.home.is_export and (len(runs.members) == 1 or runs.folds is not None)
    return runs.home.path if alone else None


def evaluate_folds(
    path: str,
    folds: Sequence[Path],
    options: InferenceOptions,
    draws: Draws,
    split: str = "test",
    asked: Asked = NOTHING,
) -> Evaluation:
    """Measure each fold of a cross-validation on the images that it left out, then all of them together.

    Args:
        path: folder of the cross-validation.
        folds: its runs.
        options: how to compute.
        draws: the bootstrap's.
        split: what a run's own fold is to it: ``test``, or ``val`` where test images were kept apart.
        asked: what else is measured of all folds together.

    Raises:
        HemfError: a fold has not finished, or cannot be measured.
    """
    data = read_data_set(Path(path))
    asked.check(data)
    of_folds = [
        evaluate_run(str(fold), split, None, None, options, draws) for fold in finished(Path(path), folds)
    ]
    folder = Path(path) / "evaluation" / folder_name(split)
    _say_replaced(folder)
    found = pool(path, data, [one for one, _ in of_folds], folder, draws, split, asked)
    mistakes = sorted((one for _, ones in of_folds for one in ones), key=lambda one: -one.probability)
    _write(found, Path(path), mistakes[: 2 * MOST])
    return found


def _say_replaced(folder: Path) -> None:
    """Say on the screen which evaluation this one takes the place of."""
    if line := replaced_line(folder):
        print(printable(line))


def _write(found: Evaluation, run: Path | None, mistakes: Sequence[Mistake]) -> None:
    """Write all files of an evaluation, ``metrics.json`` last: where it is, the others are."""
    folder = found.folder
    write_predictions(folder / "predictions.csv", found.predictions)
    figures = report_of(found.report).figures(found)
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    write_report(Material(found.report, folder, run, mistakes, figures, found.predictions))
    if run is not None and is_model(run / "model") and found.split == "test" and found.report["data"]["own"]:
        update_card(run, found.report)
    write_json(folder / "metrics.json", found.report)
