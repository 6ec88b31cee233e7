"""``hemf predict``: the classes of images, as a table or as a file."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hemf.config.options import TTA
from hemf.core.errors import HemfError
from hemf.core.text import counted, printable

if TYPE_CHECKING:
    from hemf.inference.classifier import Prediction


WIDEST_SET = 40  # columns of the terminal that are kept free for it


def predict(
    run: str,
    images: list[str],
    out: str | None = None,
    tta: TTA | None = None,
    batch_size: int = 32,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    workers: int | None = None,
    device: str = "auto",
) -> int:
    """Classify images with a trained model.

    Prints a line for each image, or writes path, prediction, its probability and that of every class into a
    file: CSV, or JSON lines where its name ends in .jsonl. Probabilities are calibrated where the model is. A
    model with prediction sets gives the set too (in the CSV a JSON list) and abstains where that is empty or
    holds several classes. Several
    models, which speak as one, give their disagreement about each image, from 0 (none) to 1.
    A model with an out-of-distribution score gives each image's unfamiliarity, above 1 where it is unlike
    the training images; these are counted and named, for their class means nothing.
    Images that show nothing, being of one value or two, are counted and named; so are those that the run was
    trained on, by the content of their files.
    Images that cannot be found or read are named at the end, and the exit code is then 1.

    Args:
        run: a run's folder, or its model folder; for an ensemble a cross-validation's folder, or several with
            commas between. Members that were trained on an image leave it to the others.
        images: files, folders (with the folders in them) or globs in quotes.
        out: file to write instead of printing, in the format of its suffix: .csv or .jsonl.
        tta: views of each image that probabilities are averaged over: flip (it and its mirror image), flips
            (also upside down), dihedral (all eight, of square inputs), or none; by default those that the
            calibration was fitted under.
        batch_size: images that go through the model at once.
        precision: format of the numbers: auto takes bf16 or fp16 autocast where the hardware is fast at it,
            else fp32.
        workers: processes that read images; by default one a core, at most 8.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.

    Returns:
        0, or 1 where an image could not be found or read.

    Raises:
        HemfError: no such run, no image at all, or a file that cannot or must not be written.
    """
    from hemf.data.image.empty import empty_line
    from hemf.familiarity.record import unfamiliar_line
    from hemf.inference.classifier import load
    from hemf.inference.writers import format_of

    if out is not None and Path(out).is_dir():
        raise HemfError(f"--out {out} is a folder; give the name of a file, such as predictions.csv")
    written = None if out is None else format_of(Path(out), map(Path, images))
    classifier, failed, empty = load(run, precision, device, tta), [], []
    files: list[Path] = []
    predictions = classifier.stream(
        images,
        batch_size,
        workers,
        failed.append,
        bar=out is not None,
        on_empty=lambda path, what: empty.append(f"{path} ({what})"),
    )
    unlike: list[str] = []
    predictions = _noting(predictions, files, unlike)
    if written is None or out is None:
        count = print_table(predictions, classifier.classes, classifier.extras)
    else:
        count = written.write(predictions, classifier.classes, Path(out), classifier.extras)
        print(f"{counted(count, 'prediction')} in {out}")
    if unlike:
        print(printable(unfamiliar_line(unlike, count)), file=sys.stderr)
    if empty:
        print(printable(empty_line(empty, count)), file=sys.stderr)
    code = report_failed(failed, f"{count} classified")
    if files:
        print(printable(_trained_on(run, files)), file=sys.stderr)
    return code


def _noting(
    predictions: Iterable["Prediction"], files: list[Path], unlike: list[str]
) -> Iterator["Prediction"]:
    """Yield the predictions; as they pass, note their files, and which are unlike the training images."""
    for one in predictions:
        if one.unfamiliar:
            unlike.append(f"{one.path} ({one.unfamiliarity:.2f})")
        if one.path is not None:
            files.append(Path(one.path))
        yield one


def _trained_on(run: str, files: Sequence[Path]) -> str:
    """Say whether the run was trained on these files, unless its manifest cannot be read."""
    from hemf.evaluation.seen_in_training import trained_on_line
    from hemf.runs.folder import open_runs
    from hemf.runs.lineage import data_behind

    try:
        return trained_on_line([list(data_behind(one)) for one in open_runs(run).members], files)
    except (HemfError, OSError) as error:
        return f"whether the run was trained on any of these images is not checked: {error}"


def report_failed(failed: Sequence[str], done: str) -> int:
    """Name on stderr what could not be read, beside what was done; returns the exit code."""
    for message in failed:
        print(printable(message), file=sys.stderr)
    if failed:
        print(f"{len(failed)} could not be read; {done}", file=sys.stderr)
    return 1 if failed else 0


def print_table(predictions: Iterable["Prediction"], classes: list[str], extras: Sequence[str] = ()) -> int:
    """Print a line for each prediction as it comes; returns their number.

    Args:
        predictions: predictions of a model of these ``classes``.
        classes: classes of the model.
        extras: what they hold besides; see ``Classifier``.
    """
    width, rows = max(len(printable(name)) for name in [*classes, "prediction"]), 0
    of_set = min(WIDEST_SET, len(_set_text(classes)))
    head = f"{'set':{of_set}}  " if "set" in extras else ""
    head += "disagreement  " if "disagreement" in extras else ""
    head += "unfamiliarity  " if "unfamiliarity" in extras else ""
    for found in predictions:
        if not rows:
            print(f"{'prediction':{width}}  probability  {head}path")
        own = f"{_set_text(found.set or ()):{of_set}}  " if "set" in extras else ""
        if "disagreement" in extras:
            own += f"{'–' if found.disagreement is None else f'{found.disagreement:.3f}':>12}  "
        if found.unfamiliarity is not None:
            own += f"{found.unfamiliarity:12.2f}{'!' if found.unfamiliar else ' '}  "
        print(
            f"{printable(found.label):{width}}  {found.probability:11.3f}  {own}{printable(found.path or '')}"
        )
        rows += 1
    return rows


def _set_text(names: Sequence[str]) -> str:
    return " | ".join(map(printable, names)) or "none"
