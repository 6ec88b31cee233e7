"""Images under the heat maps of a model, or of several: what ``hemf explain`` writes and a server shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hemf.core.errors import HemfError
from hemf.data.image.decode import ImageBytes
from hemf.data.preprocessing import InputSpec, centred
from hemf.data.transforms import eval_transform
from hemf.explanation.gradcam import Method, layer_heat_maps
from hemf.explanation.layers import chosen_layer, stage_layers
from hemf.explanation.pictures import Explained, free_names
from hemf.explanation.placement import place
from hemf.explanation.selection import Selected, selected_stages, selects
from hemf.inference.classifier import Classifier, Pixels, Prediction, read
from hemf.inference.load import TrainedModel

HELD_PIXELS = 25_000_000  # after which no further image joins those that are held at once
Source = Path | ImageBytes | Pixels


def explanations(
    classifier: Classifier,
    files: Sequence[Source],
    target: str | None,
    layer: str | None,
    method: Method,
    stages: bool,
    batch_size: int,
    failed: list[str],
    blank: list[str],
) -> Iterator[Explained]:
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


def explained(classifier: Classifier, image: Source, target: str | None) -> Explained:
    """Return one image with its Grad-CAM++ map, for a class or for the one that is predicted.

    Raises:
        HemfError: it cannot be read, or there is no such class.
    """
    failed: list[str] = []
    found = next(explanations(classifier, [image], target, None, "gradcam++", False, 1, failed, []), None)
    if found is None:
        raise HemfError(failed[0])
    return found


def _batch(
    readable: Iterator[tuple[Source, str, Image.Image]], most: int
) -> list[tuple[Source, str, Image.Image]]:
    """Return the next images that are held in memory together: as many as ``most``, or fewer large ones."""
    batch, pixels = [], 0
    while len(batch) < most and pixels < HELD_PIXELS and (one := next(readable, None)):
        batch.append(one)
        pixels += one[2].width * one[2].height
    return batch


def _readable(
    files: Sequence[Source], spec: InputSpec, failed: list[str]
) -> Iterator[tuple[Source, str, Image.Image]]:
    """Yield each file that can be read, the name of what is written of it, and the image."""
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

    files: list[Source]
    names: list[str]
    images: list[Image.Image]
    predictions: list[Prediction]
    targets: list[str]


@dataclass(frozen=True)
class _View:
    """A batch as one model gets it."""

    model: TrainedModel
    inputs: Tensor
    indices: list[int]


@dataclass(frozen=True)
class _Where:
    """The layers of one model's maps of a call, chosen on its first batch, so that they can be compared."""

    layer: str
    stages: dict[str, list[str]]


def _shown(
    classifier: Classifier, batch: Sequence[tuple[Source, str, Image.Image]], target: str | None
) -> _Shown:
    files, names, images = map(list, zip(*batch, strict=True))
    alone = len(classifier.trained.members) == 1  # several see the file each in its own way
    predictions = classifier.predict(images if alone else files, batch_size=len(images))
    targets = [target or max(one.probabilities, key=one.probabilities.__getitem__) for one in predictions]
    return _Shown(files, names, images, predictions, targets)


def _view(model: TrainedModel, shown: _Shown, first: InputSpec) -> _View:
    """Return the images as a model takes them; those of the ``first`` model's kind are read already."""
    transform, images = eval_transform(model.spec), shown.images
    mode, window = model.spec.image_mode, model.spec.window
    if (mode, window) != (first.image_mode, first.window):
        images = [read(file, mode, window) for file in shown.files]
    indices = [model.classes.index(one) for one in shown.targets]
    return _View(model, torch.stack([transform(image) for image in images]), indices)


def _where(view: _View, layer: str | None, stages: bool) -> _Where:
    first = view.model.model, view.inputs, view.indices
    return _Where(chosen_layer(*first, layer), stage_layers(*first) if stages else {})


def _heat(view: _View, where: _Where, method: Method) -> list[np.ndarray]:
    """Return a model's maps at its layer, then at its stages."""
    layers = [where.layer, *chain(*where.stages.values())]
    return layer_heat_maps(view.model.model, view.inputs, view.indices, layers, method)


def _explained(
    classifier: Classifier,
    shown: _Shown,
    views: Sequence[_View],
    looked: Sequence[_Where],
    method: Method,
) -> Iterator[Explained]:
    """Yield each image under the mean of the heat maps of the models that speak of it."""
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


def _selected(views: Sequence[_View]) -> list[list[Selected]]:
    """Return what the stages of each model have to do with each image; nothing unless all select."""
    if not all(selects(view.model.model) for view in views):
        return []
    return [selected_stages(view.model.model, view.inputs, view.indices) for view in views]


def _mean(parts: Sequence[Selected]) -> Selected:
    return Selected(*(np.mean([getattr(one, name) for one in parts], 0) for name in ("weights", "evidence")))
