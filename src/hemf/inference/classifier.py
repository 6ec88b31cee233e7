"""A trained model that takes images and gives classes."""

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
from PIL import Image

from hemf.config.options import TTA
from hemf.core.errors import HemfError, UnreadableImage
from hemf.core.text import one_line, printable
from hemf.data.image.decode import ImageBytes, ImageMode, plain_image
from hemf.data.image.read import find_images, read_image
from hemf.data.loading.prepared import Prepared
from hemf.inference.models import load_models
from hemf.runs.folder import RunPaths, open_runs
from hemf.runtime import ExportedModel
from hemf.runtime.stream import prepare_for, stream_outputs, watched

if TYPE_CHECKING:
    from torch import Tensor

    from hemf.core.precision import PrecisionOption
    from hemf.inference.ensemble import Ensemble
    from hemf.inference.load import TrainedModel
    from hemf.inference.stream import Inputs

Paths = str | os.PathLike | Iterable[str | os.PathLike]
Images = str | os.PathLike | Image.Image | np.ndarray | Prepared | Iterable[Any]
OnError = Callable[[str], None]


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Args:
        path: the image's file; None for an image given as pixels.
        label: the most probable class.
        probabilities: of every class, in the order of the model's outputs; they sum to one. Calibrated, where
            the model has a temperature.
        set: the classes that the image may be of at the model's coverage, in the order of the outputs; None
            where the model makes no prediction sets.
        abstain: whether the set is empty or holds several classes, so that the label should not be relied on;
            None without sets.
        disagreement: of the members of an ensemble, from 0 (none) to 1; None for a single model, and where a
            single member speaks because the others were trained on the image.
        unfamiliarity: how unlike the training images it is, above 1 beyond the model's limit; None where the
            model keeps no out-of-distribution score.
    """

    path: str | None
    label: str
    probabilities: dict[str, float]
    set: tuple[str, ...] | None = None
    abstain: bool | None = None
    disagreement: float | None = None
    unfamiliarity: float | None = None

    @property
    def unfamiliar(self) -> bool | None:
        """Whether it is unlike the training images, so that the label should not be relied on."""
        return None if self.unfamiliarity is None else self.unfamiliarity > 1

    @property
    def probability(self) -> float:
        """Of the most probable class."""
        return max(self.probabilities.values())


@dataclass(frozen=True)
class Pixels:
    """An image given as pixels, with a name for messages."""

    name: str
    image: Image.Image | np.ndarray

    def __str__(self) -> str:
        """Return the name."""
        return self.name


Item = Path | ImageBytes | Pixels | Prepared


class Classifier:
    """A trained model with its preprocessing, ready for images; made by ``hemf.load``.

    Args:
        trained: model, classes and input; an ensemble of several; or an export.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        device: torch's name of a device, or ``auto``.
    """

    def __init__(
        self,
        trained: "TrainedModel | Ensemble | ExportedModel",
        precision: "PrecisionOption" = "auto",
        device: str = "auto",
    ) -> None:
        self.trained = trained
        if isinstance(trained, ExportedModel):
            self.device, self.precision = trained.computes_on(str(device), precision)
            return
        from hemf.core.device import pick_device
        from hemf.core.precision import resolve_precision

        self.device = pick_device(device)
        self.precision = resolve_precision(precision, self.device.type)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the model's outputs."""
        return list(self.trained.classes)

    @property
    def makes_sets(self) -> bool:
        """Whether predictions come with a set and may abstain."""
        return self.trained.calibration.sets is not None

    @property
    def extras(self) -> list[str]:
        """What predictions hold beside class and probabilities, of the ``writers``' columns."""
        sets = ["set", "abstain"] if self.makes_sets else []
        several = ["disagreement"] if len(self.trained.members) > 1 else []
        return [*sets, *several, *(["unfamiliarity", "unfamiliar"] if self.trained.scored else [])]

    @property
    def can_explain(self) -> bool:
        """Whether it can show where it looks: a network of torch can, an export cannot."""
        return all(hasattr(member, "model") for member in self.trained.members)

    @property
    def input(self) -> "Inputs":
        """How an image becomes the model's input; of an ensemble, all forms that its members take."""
        return self.trained.inputs

    def predict(self, images: Images, **options: Any) -> list[Prediction]:
        """Predict all images at once; arguments and errors are those of ``stream``."""
        return list(self.stream(images, **options))

    def prepare(self, image: Path | ImageBytes | Pixels) -> Prepared:
        """Read an image and bring it into the model's form, so that ``predict`` has only to compute.

        Any thread may do it, while another computes. What cannot be read says so in ``Prepared.error``.
        """
        if isinstance(self.trained, ExportedModel):
            return prepare_for(self.trained, image, read)
        from hemf.inference.stream import prepare

        return prepare(image, self.trained.inputs, read)

    def stream(
        self,
        images: Images,
        batch_size: int = 32,
        workers: int | None = None,
        on_error: OnError | None = None,
        bar: bool = False,
        on_empty: Callable[[Any, str], None] | None = None,
    ) -> Iterator[Prediction]:
        """Predict in the images' order, in constant memory, the first before the last image is read.

        Args:
            images: a file, a folder (with those below it), a glob, a PIL image, a numpy array (height x
                width, or that x 1, 3 or 4 channels as grey, RGB or RGBA, of uint8; or grey of uint16), a file
                in memory (``ImageBytes``), an image that was prepared, or a list of any of these. What exists
                under a name is taken before it is read as a glob.
            batch_size: images that go through the model at once.
            workers: processes that read images; by default one a core, at most 8.
            on_error: called with a message for what cannot be found or read, which is then left out.
            bar: show a progress bar on stderr where that is a terminal.
            on_empty: called with a file and what it is (see ``emptiness``) where it shows nothing.

        Raises:
            HemfError: no image found, or without ``on_error`` one that cannot be found or read.
        """
        items, missing = collect(images)
        for message in missing:
            _report(message, on_error)
        if not all(isinstance(item, Path) for item in items):
            workers = 0  # open files inside PIL images must not be shared among processes
        results = self._results(items, batch_size, workers, on_empty)
        for item, logits, error in watched(results, len(items), "classifying") if bar else results:
            if error is not None:
                _report(error, on_error)
                continue
            assert logits is not None, "an image without error has logits"
            yield self._prediction(item, logits)

    def _results(
        self,
        items: Sequence[Item],
        batch_size: int,
        workers: int | None,
        on_empty: Callable[[Any, str], None] | None,
    ) -> "Iterator[tuple[Any, Tensor | np.ndarray | None, str | None]]":
        """Yield each item's outputs, or why it cannot be read."""
        if isinstance(self.trained, ExportedModel):
            yield from stream_outputs(self.trained, items, batch_size, workers, read, on_empty)
            return
        from hemf.inference.stream import stream_logits

        how = (batch_size, workers, cast("PrecisionOption", self.precision), self.device, read, on_empty)
        yield from stream_logits(self.trained.predictor, items, self.trained.inputs, *how)

    def _prediction(self, item: Item, outputs: Any) -> Prediction:
        item = item.item if isinstance(item, Prepared) else item
        calibration, task = self.trained.calibration, self.trained.task
        speaking = self.trained.speaking_of(item)
        said = self.trained.combined(outputs[None], None if speaking is None else speaking[None])
        path, logits = None if isinstance(item, Pixels) else str(item), said.logits[0]
        more = _known(said.disagreement), _known(said.unfamiliarity)
        calibrated = np.asarray(calibration.probabilities(logits, task))
        probabilities = dict(zip(self.classes, calibrated.tolist(), strict=True))
        label = task.decode(task.decide(calibrated[None])[0], self.classes)
        if calibration.sets is None:
            return Prediction(path, label, probabilities, None, None, *more)
        inside = calibration.sets.hold(calibrated)
        names = tuple(name for name, chosen in zip(self.classes, inside, strict=True) if chosen)
        return Prediction(path, label, probabilities, names, len(names) != 1, *more)


def load(
    run: RunPaths,
    precision: "PrecisionOption" = "auto",
    device: str = "auto",
    tta: TTA | None = None,
) -> Classifier:
    """Load a run's model, ready to classify images exactly as its validation did.

    Several are an ensemble, whose probabilities are the mean of those of its members; an image that members
    were trained on, by its place or content, is left to the others, where there are any. What whoever uses
    the predictions should know, as that the calibration is of another test-time augmentation, is a line on
    stderr.

    Args:
        run: a run's folder, its ``model`` folder, or an export; for an ensemble a cross-validation's, or a
            list of several.
        precision: ``fp32``, ``bf16``, ``fp16``, or ``auto`` for what the hardware is fast at. An export has
            its own.
        device: ``cpu``, ``cuda``, ``cuda:1`` ..., or ``auto`` for a GPU where there is one.
        tta: views of each image that probabilities are averaged over: ``flip`` (it and its mirror image),
            ``flips`` (also upside down), ``dihedral`` (all eight, of square inputs), or ``none``; None for
            those that the calibration was fitted under.

    Raises:
        HemfError: no run or model there, no such device, views that the model's input does not allow, or
            models of an ensemble that differ in classes or task.
    """
    trained = load_models(open_runs(run), tta)
    for line in trained.notes:
        print(printable(line), file=sys.stderr)
    return Classifier(trained, precision, device)


@overload
def collect(images: Paths) -> tuple[Sequence[Path], list[str]]: ...
@overload
def collect(images: Images) -> tuple[Sequence[Item], list[str]]: ...
def collect(images: Images) -> tuple[Sequence[Item], list[str]]:
    """Return all images that ``images`` names, in order, and a message for each name that leads to none.

    Raises:
        HemfError: there is not one image.
    """
    items: list[Item] = []
    missing: list[str] = []
    single = isinstance(images, str | os.PathLike | Image.Image | np.ndarray | Prepared | Pixels)
    for source in [images] if single else images:
        if isinstance(source, ImageBytes | Prepared | Pixels):
            items.append(source)
        elif isinstance(source, str | os.PathLike):
            found = _files(Path(source)) if os.fspath(source) else []  # "" is not the current folder
            items += found
            if not found:
                missing.append(f"no image at {source}; give a file, a folder that holds images, or a glob")
        elif isinstance(source, Image.Image | np.ndarray):
            items.append(Pixels(f"image {len(items) + 1}", source))
        else:
            raise HemfError(f"{type(source).__name__} is no image; give a path, a PIL image or a numpy array")
    if not items:
        raise HemfError(missing[0] if missing else "no images; give files, folders or globs")
    return items, missing


def read(item: Path | ImageBytes | Pixels, mode: ImageMode, window: str = "auto") -> Image.Image:
    """Return a file's or an array's image in ``mode``, both by the same rules.

    Raises:
        UnreadableImage: it cannot be read, or an array is not of a shape or type that images have.
    """
    if not isinstance(item, Pixels):
        return read_image(item, mode, window)
    try:
        image = item.image
        return plain_image(_from_array(image) if isinstance(image, np.ndarray) else image, mode)
    except Exception as error:  # a PIL image may decode only now, and fail in any way
        raise UnreadableImage(f"{item.name} cannot be read: {one_line(error)}") from error


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return find_images(path)
    if os.path.exists(path):
        return [path]
    found = [Path(name) for name in sorted(glob.glob(_pattern(path), recursive=True))]
    nested = [find_images(one) if one.is_dir() else [one] for one in found]
    return list(dict.fromkeys(file for files in nested for file in files))


def _pattern(path: Path) -> str:
    """Make ``path`` a glob in which existing folders stand for themselves, even if named ``scan[1]``."""
    real, pattern = Path(), Path()
    for part in path.parts:
        real /= part
        pattern /= glob.escape(part) if os.path.exists(real) else part
    return str(pattern)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    if not array.size or not (
        (array.dtype == np.uint8 and (grey or colour)) or (array.dtype == np.uint16 and grey)
    ):
        raise ValueError(
            f"an array of {array.dtype} {array.shape}; give height x width (x 3 or 4) uint8, or grey uint16"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _known(values: np.ndarray | None) -> float | None:
    return None if values is None or np.isnan(values[0]) else float(values[0])


def _report(message: str, on_error: OnError | None) -> None:
    if on_error is None:
        raise HemfError(message)
    on_error(message)
