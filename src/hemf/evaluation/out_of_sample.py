"""What a run has predicted of images that it was not trained on, as ``hemf evaluate`` wrote it."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet
from hemf.evaluation.cross_validation import left_out_side
from hemf.inference.predictions import Predictions, pooled, read_predictions
from hemf.runs.folder import fold_paths


@dataclass(frozen=True)
class OutOfSample:
    """Predictions of images that the model was not trained on.

    Args:
        predictions: of a cross-validation, of every image by the run that left it out.
        how: what they are, in words.
    """

    predictions: Predictions
    how: str


def out_of_sample(run: Path, data: DataSet) -> OutOfSample:
    """Read the predictions of a cross-validation's folds, or of a run's validation and test images.

    Args:
        run: folder of either.
        data: the images that are asked about: those of other names are left out.

    Raises:
        HemfError: it has not been evaluated, or an image has another label than in ``data``.
    """
    folds = bool(fold_paths(run))
    sides = [left_out_side(run)] if folds else ["val", "test"]
    files = [run / "evaluation" / side / "predictions.csv" for side in sides]
    parts = [read_predictions(file) for file in files if file.is_file()]
    if not parts:
        verb = f"hemf evaluate {shlex.quote(str(run))}" + ("" if folds else " --split val, and --split test")
        raise HemfError(f"{run} has predicted no image that it was not trained on; {verb}")
    known = {sample.path: sample.label for sample in data.samples}
    parts = [_of(part, known) for part in parts]
    paths = [path for part in parts for path in part.paths]
    if not paths:
        raise HemfError(
            f"{run} has predicted none of the images of {data.name}; give the data it was trained on"
        )
    how = "the folds that left them out" if folds else "a run that was not trained on them"
    return OutOfSample(pooled(parts, paths), how)


def _of(part: Predictions, known: dict[str, str]) -> Predictions:
    """Return the predictions of known images, without their metadata."""
    here = np.array([path in known for path in part.paths])
    for i in np.flatnonzero(here).tolist():
        then, now = part.classes[part.labels[i]], known[part.paths[i]]
        if then != now:
            raise HemfError(
                f"{part.paths[i]} was of the class {then} when the run was evaluated, and is {now} now; "
                "train and evaluate with these labels"
            )
    return replace(part.chosen(here), metadata={})
