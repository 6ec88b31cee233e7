"""``hemf explain``: where in images a trained model finds its evidence, as pictures and as numbers."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hemf.deploy.predict import report_failed
from hemf.errors import HemfError

if TYPE_CHECKING:
    from PIL import Image

    from hemf.data.transforms import InputSpec
    from hemf.deploy.classifier import Classifier
    from hemf.deploy.explained import Explained
    from hemf.explain.gradcam import Method


def explain_images(
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
    prediction, its probability, the class that the map is for, its probability, and the names of the files.
    Images of the same name get a number. Those that cannot be found or read are named at the end, and the
    exit code is then 1.

    Args:
        run: a run's folder, or its model folder.
        images: files, folders (with the folders in them) or globs in quotes.
        out: folder to write into, made if it does not exist.
        target: the class to show evidence for; by default the one that is predicted, for each image.
        layer: where in the model to look, by the layer's name; by default what the head reads, which for HEMF
            is the last fusion.
        method: gradcam++ counts what speaks for the class; gradcam sets what speaks against it off.
        stages: write NAME-stages.png too, every stage of every branch in one figure.
        batch_size: images that go through the model at once.
        device: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.

    Returns:
        0, or 1 where an image could not be found or read.

    Raises:
        HemfError: no such run, class or layer, no image at all, or the folder cannot be written.
    """
    from hemf.deploy.classifier import collect, load
    from hemf.deploy.explained import check_free, write_explanations

    if Path(out).exists() and not Path(out).is_dir():
        raise HemfError(f"--out {out} is a file; give the name of a folder")
    if batch_size < 1:
        raise HemfError(f"--batch-size is {batch_size}; give at least 1")
    files, failed = collect(images)
    check_free(Path(out), files, stages)
    classifier = load(run, "fp32", device)
    explained = explanations(classifier, files, target, layer, method, stages, batch_size, failed)
    count = write_explanations(explained, Path(out))
    print(f"{count} images explained in {out}")
    return report_failed(failed, f"{count} explained")


def explanations(
    classifier: "Classifier",
    files: Sequence[Path],
    target: str | None,
    layer: str | None,
    method: "Method",
    stages: bool,
    batch_size: int,
    failed: list[str],
) -> Iterator["Explained"]:
    """Images explained in their order; a message for each that cannot be read is added to ``failed``.

    Raises:
        HemfError: no such class or layer.
    """
    if target is not None and target not in classifier.classes:
        have = ", ".join(classifier.classes)
        raise HemfError(f"the model knows no class {target!r}; its classes are {have}")
    readable = _readable(files, classifier.input, failed)
    while batch := list(islice(readable, batch_size)):
        yield from _explained(classifier, batch, target, layer, method, stages)


def _readable(
    files: Sequence[Path], spec: "InputSpec", failed: list[str]
) -> Iterator[tuple[Path, str, "Image.Image"]]:
    """Each file that can be read, the name of what is written of it, and the image."""
    from hemf.deploy.classifier import read
    from hemf.deploy.explained import free_names

    for file, name in zip(files, free_names(files), strict=True):
        try:
            image = read(file, spec.image_mode, spec.window)
        except HemfError as error:
            failed.append(str(error))
        else:
            yield file, name, image


def _explained(
    classifier: "Classifier",
    batch: Sequence[tuple[Path, str, "Image.Image"]],
    target: str | None,
    layer: str | None,
    method: "Method",
    stages: bool,
) -> Iterator["Explained"]:
    import torch

    from hemf.data.transforms import centred, eval_transform
    from hemf.deploy.explained import Explained
    from hemf.explain import heat_maps, place, stage_heat_maps

    spec, model = classifier.input, classifier.trained.model
    transform, (resize, crop) = eval_transform(spec), centred(spec)
    predictions = classifier.predict([image for *_, image in batch], batch_size=len(batch))
    targets = [target or one.label for one in predictions]
    indices = [classifier.classes.index(name) for name in targets]
    inputs = torch.stack([transform(image) for *_, image in batch])
    heats = heat_maps(model, inputs, indices, layer, method)
    by_stage = stage_heat_maps(model, inputs, indices, method) if stages else None
    for i, (file, name, image) in enumerate(batch):
        yield Explained(
            path=str(file),
            name=name,
            image=image,
            prediction=predictions[i],
            target=targets[i],
            heat=place(heats[i], spec, image.size),
            seen=crop(resize(image)),
            stages=by_stage and {branch: [maps[i] for maps in found] for branch, found in by_stage.items()},
        )
