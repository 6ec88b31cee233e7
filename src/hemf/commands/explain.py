"""``hemf explain``: where in images a trained model finds its evidence, as pictures and as numbers."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hemf.commands.predict import report_failed
from hemf.core.errors import HemfError
from hemf.core.text import counted, printable

if TYPE_CHECKING:
    from hemf.explanation.gradcam import Method
    from hemf.explanation.pictures import Explained


def explain(
    run: str,
    images: list[str],
    out: str = "heat-maps",
    target: str | None = None,
    layer: str | None = None,
    method: Literal["gradcam++", "gradcam"] = "gradcam++",
    stages: bool = False,
    batch_size: int = 8,
    device: str = "auto",
) -> int:
    """Show where in images a trained model finds its evidence, by Grad-CAM++ or Grad-CAM.

    Writes for each image NAME.png, the image under its heat map; NAME.npy, the map itself as float32 from 0
    to 1 at the image's size, 0 outside the part that the model sees; and a line of explain.csv: path,
    prediction, its probability, the class that the map is for, its probability, the layer, whether the map
    is blank, and the names of the files. Of a model that selects among its stages (HEMF's ``selection``) the
    line goes on with the stage that decided, and each stage's weight and evidence for the class. Images of
    the same name get a number. Those that cannot be found or read, and those whose map shows no evidence for
    the class, are named at the end, and the exit code is then 1.

    Args:
        run: a run's folder, or its model folder; for an ensemble a cross-validation's folder, or several with
            commas between, whose heat maps are averaged, each at its own layer.
        images: files, folders (with the folders in them) or globs in quotes.
        out: folder to write into, made if it does not exist.
        target: the class to show evidence for; by default the one that is predicted, for each image.
        layer: where in the model to look, by the layer's name; by default what the head reads, which for HEMF
            is the last fusion. One that the class does not depend on is refused.
        method: gradcam++ counts what speaks for the class; gradcam sets what speaks against it off.
        stages: write NAME-stages.png too, every stage of every branch in one figure.
        batch_size: images that go through the model at once; fewer where they are large.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.

    Returns:
        0, or 1 where an image could not be found or read, or its map is blank.

    Raises:
        HemfError: no such run, class or layer, a layer without evidence, no image at all, or the folder
            cannot be written.
    """
    from hemf.explanation.images import explanations
    from hemf.explanation.pictures import check_free, write_explanations
    from hemf.inference.classifier import collect, load
    from hemf.runs.folder import open_runs

    if Path(out).exists() and not Path(out).is_dir():
        raise HemfError(f"--out {out} is a file; give the name of a folder")
    if batch_size < 1:
        raise HemfError(f"--batch-size is {batch_size}; give at least 1")
    files, failed = collect(images)
    check_free(Path(out), files, stages)
    if open_runs(run).home.is_export:
        raise HemfError(f"{run} is an export, which has no layers to look into; explain its run")
    classifier, blank = load(run, "fp32", device), []
    explained = explanations(classifier, files, target, layer, method, stages, batch_size, failed, blank)
    decided: Counter[int | None] = Counter()
    count = write_explanations(_with_stages_counted(explained, decided), Path(out))
    print(f"{counted(count, 'image')} explained in {out}")
    if decided:
        print(f"deciding stage: {_shares(decided)}")
    return max(report_failed(failed, f"{count} explained"), _report_blank(blank, count, method))


def _with_stages_counted(
    explained: Iterable["Explained"], decided: Counter[int | None]
) -> Iterator["Explained"]:
    """Hand the images on, and count which stage decided each of them, where the model has such."""
    for one in explained:
        if one.selected is not None:
            decided[one.selected.decided] += 1
        yield one


def _shares(decided: Counter[int | None]) -> str:
    """Say in how many images each stage decided, the most frequent first."""
    return ", ".join(f"{stage or 'none'} in {counted(n, 'image')}" for stage, n in decided.most_common())


def _report_blank(blank: Sequence[str], count: int, method: "Method") -> int:
    """Name on stderr what has no heat, and what may show more; returns the exit code."""
    for message in blank:
        print(printable(message), file=sys.stderr)
    if blank:
        other = "--method gradcam" if method == "gradcam++" else "another --target"
        print(
            f"{len(blank)} of {count} heat maps are blank; {other} or another --layer may show more",
            file=sys.stderr,
        )
    return 1 if blank else 0
