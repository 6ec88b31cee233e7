"""``hemf explain``: where in images a trained model finds its evidence, as pictures and as numbers."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from hemf.commands.predict import report_failed
from hemf.core.errors import HemfError
from hemf.core.text import counted, printable

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

    from hemf.data.preprocessing import InputSpec
    from hemf.explanation.gradcam import Method
    from hemf.explanation.pictures import Explained
    from hemf.explanation.selection import Selected
    from hemf.inference.classifier import Classifier, Prediction
    from hemf.inference.load import TrainedModel

HELD_PIXELS = 25_000_000  # after which no further image joins those that are held at once


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


def explanations(
    classifier: "Classifier",
    files: Sequence[Path],
    target: str | None,
    layer: str | None,
    method: "Method",
    stages: bool,
    batch_size: int,
    failed: list[str],
    blank: list[str],
) -> Iterator["Explained"]:
    """Yield images explained in their order.

    A message for each that cannot be read is added to ``failed``, for each whose map is blank to ``blank``.

    Raises:
        HemfError: no such class or layer, a layer without evidence, or the stages of several models.
    """
    if target is not None and target not in classifier.classes:
        have = ", ".join(classifier.classes)
        raise HemfError(f"the model knows no class {target!r}; its classes are {have}")
    first, *others = cast("tuple[TrainedModel, ...]", classifier.trained.members)  # no export comes here
    if stages and others:
        raise HemfError("--stages shows the stages of one model; give one run of the ensemble")
    readable = _readable(files, first.spec, failed)
    looked: list[_Where] = []
    while batch := _batch(readable, batch_size):
        shown = _shown(classifier, batch, target)
        views = [_view(model, shown, first.spec) for model in (first, *others)]
        looked = looked or [_where(view, layer, stages) for view in views]
        for one in _explained(classifier, shown, views, looked, method):
            if one.blank:
                blank.append(f"{one.path}: no evidence for {one.target} at {one.layer}, a blank heat map")
            yield one


def _batch(
    readable: Iterator[tuple[Path, str, "Image.Image"]], most: int
) -> list[tuple[Path, str, "Image.Image"]]:
    """Return the next images that are held in memory together: as many as ``most``, or fewer large ones."""
    batch, pixels = [], 0
    while len(batch) < most and pixels < HELD_PIXELS and (one := next(readable, None)):
        batch.append(one)
        pixels += one[2].width * one[2].height
    return batch


def _readable(
    files: Sequence[Path], spec: "InputSpec", failed: list[str]
) -> Iterator[tuple[Path, str, "Image.Image"]]:
    """Yield each file that can be read, the name of what is written of it, and the image."""
    from hemf.explanation.pictures import free_names
    from hemf.inference.classifier import read

    for file, name in zip(files, free_names(files), strict=True):
        try:
            image = read(file, spec.image_mode, spec.window)
        except HemfError as error:
            failed.append(str(error))
        else:
            yield file, name, image


@dataclass(frozen=True)
class _Shown:
    """A batch, what the model says of it, and the class that each of its maps is for."""

    files: list[Path]
    names: list[str]
    images: list["Image.Image"]
    predictions: list["Prediction"]
    targets: list[str]


@dataclass(frozen=True)
class _View:
    """A batch as one model gets it."""

    model: "TrainedModel"
    inputs: "Tensor"
    indices: list[int]


@dataclass(frozen=True)
class _Where:
    """The layers of one model's maps of a call, chosen on its first batch, so that they can be compared."""

    layer: str
    stages: dict[str, list[str]]


def _shown(
    classifier: "Classifier", batch: Sequence[tuple[Path, str, "Image.Image"]], target: str | None
) -> _Shown:
    files, names, images = map(list, zip(*batch, strict=True))
    alone = len(classifier.trained.members) == 1  # several see the file each in its own way
    predictions = classifier.predict(images if alone else files, batch_size=len(images))
    targets = [target or max(one.probabilities, key=one.probabilities.__getitem__) for one in predictions]
    return _Shown(files, names, images, predictions, targets)


def _view(model: "TrainedModel", shown: _Shown, first: "InputSpec") -> _View:
    """Return the images as a model takes them; those of the ``first`` model's kind are read already."""
    import torch

    from hemf.data.transforms import eval_transform
    from hemf.inference.classifier import read

    transform, images = eval_transform(model.spec), shown.images
    mode, window = model.spec.image_mode, model.spec.window
    if (mode, window) != (first.image_mode, first.window):
        images = [read(file, mode, window) for file in shown.files]
    indices = [model.classes.index(one) for one in shown.targets]
    return _View(model, torch.stack([transform(image) for image in images]), indices)


def _where(view: _View, layer: str | None, stages: bool) -> _Where:
    from hemf.explanation.layers import chosen_layer, stage_layers

    first = view.model.model, view.inputs, view.indices
    return _Where(chosen_layer(*first, layer), stage_layers(*first) if stages else {})


def _heat(view: _View, where: _Where, method: "Method") -> list["np.ndarray"]:
    """Return a model's maps at its layer, then at its stages."""
    from hemf.explanation.gradcam import layer_heat_maps

    layers = [where.layer, *chain(*where.stages.values())]
    return layer_heat_maps(view.model.model, view.inputs, view.indices, layers, method)


def _explained(
    classifier: "Classifier",
    shown: _Shown,
    views: Sequence[_View],
    looked: Sequence[_Where],
    method: "Method",
) -> Iterator["Explained"]:
    """Yield each image under the mean of the heat maps of the models that speak of it."""
    import numpy as np

    from hemf.data.preprocessing import centred
    from hemf.explanation.pictures import Explained
    from hemf.explanation.placement import place

    (resize, crop), stages = centred(views[0].model.spec), looked[0].stages
    found = [_heat(view, where, method) for view, where in zip(views, looked, strict=True)]
    picked = _selected(views)
    for i, (file, image) in enumerate(zip(shown.files, shown.images, strict=True)):
        speaking = classifier.trained.speaking_of(file)
        speakers = [m for m in range(len(views)) if speaking is None or speaking[m]]
        staged = iter(maps[i] for maps in found[0][1:])
        heats = [place(found[m][0][i], views[m].model.spec, image.size) for m in speakers]
        yield Explained(
            path=str(file),
            name=shown.names[i],
            image=image,
            prediction=shown.predictions[i],
            target=shown.targets[i],
            layer=", ".join(dict.fromkeys(looked[m].layer for m in speakers)),
            blank=not any(found[m][0][i].any() for m in speakers),
            heat=np.mean(heats, axis=0),
            seen=crop(resize(image)),
            stages={branch: [next(staged) for _ in names] for branch, names in stages.items()} or None,
            selected=_mean([picked[m][i] for m in speakers]) if picked else None,
        )


def _selected(views: Sequence[_View]) -> list[list["Selected"]]:
    """Return what the stages of each model have to do with each image; nothing unless all select."""
    from hemf.explanation.selection import selected_stages, selects

    if not all(selects(view.model.model) for view in views):
        return []
    return [selected_stages(view.model.model, view.inputs, view.indices) for view in views]


def _mean(parts: Sequence["Selected"]) -> "Selected":
    import numpy as np

    from hemf.explanation.selection import Selected

    return Selected(*(np.mean([getattr(one, name) for one in parts], 0) for name in ("weights", "evidence")))
