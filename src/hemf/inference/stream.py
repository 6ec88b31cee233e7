"""Images through a model, one after the other, in constant memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from hemf.config.options import TTA
from hemf.core.device import pick_device
from hemf.core.errors import HemfError
from hemf.core.machine import computing_on, model_threads
from hemf.core.precision import AUTOCAST, PrecisionOption, float32_logits, resolve_precision
from hemf.core.text import counted
from hemf.data.image.decode import ImageMode
from hemf.data.image.empty import emptiness
from hemf.data.image.read import read_image
from hemf.data.loading.prepared import Prepared
from hemf.data.loading.workers import killed_workers_explained, same_limits, worker_count
from hemf.data.preprocessing import InputSpec
from hemf.data.tensor_transforms import Normalise
from hemf.data.transforms import eval_pixels, normaliser
from hemf.inference.ensemble import Ensemble
from hemf.inference.load import TrainedModel
from hemf.inference.predictions import Predictions
from hemf.runtime import ExportedModel
from hemf.runtime.stream import stream_outputs, watched

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet, Sample

Reader = Callable[[Any, ImageMode, str], Image.Image]
Result = tuple[Any, Tensor | None, str | None]
Item = tuple[list[Tensor], str | None, str | None, tuple[int, int]]
Inputs = InputSpec | tuple[InputSpec, ...]
"""What a network takes: one form of each image, or a list of several."""


@dataclass(frozen=True)
class Batch:
    """Images that go through a model together.

    Args:
        items: image files, or whatever else was read.
        inputs: B x C x H x W, normalised, on the model's device; zeros for the unreadable. A list of them,
            where the model takes several.
        logits: B x K, float32 on the CPU.
        errors: why an image could not be read; None where it could.
        empty: what an image is that shows nothing (see ``emptiness``), else None.
        sizes: width and height of each image.
    """

    items: list[Any]
    inputs: Any
    logits: Tensor
    errors: list[str | None]
    empty: list[str | None]
    sizes: list[tuple[int, int]]


@dataclass(frozen=True)
class InferenceOptions:
    """How images go through a model; see ``stream_logits``, and ``load_trained`` for ``tta``."""

    batch_size: int = 32
    workers: int | None = None
    precision: PrecisionOption = "auto"
    device: str | torch.device = "auto"
    tta: TTA | None = None

    def picked(self) -> Self:
        """Return the same with the device and the precision that ``auto`` stands for here.

        Raises:
            HemfError: the device is not there, or does not compute in the precision.
        """
        device = pick_device(self.device)
        return replace(self, device=device, precision=resolve_precision(self.precision, device.type))


def predict_samples(
    trained: TrainedModel | Ensemble | ExportedModel,
    images: "DataSet",
    samples: Sequence["Sample"],
    options: InferenceOptions,
    words: str,
    speaking: np.ndarray | None = None,
    read: Reader = read_image,
) -> Predictions:
    """Predict labelled images.

    Args:
        trained: the model, several as one, or an export.
        images: the data set of the samples.
        samples: images of the model's classes.
        options: how to compute.
        words: what stands before the progress bar.
        speaking: samples x members of an ensemble, booleans: whose probabilities count; None for all.
        read: from a path, an image mode and a window to a PIL image.

    Raises:
        HemfError: an image cannot be read, which stops the whole, or an option is bad.
    """
    paths = [images.path(s) for s in samples]
    if isinstance(trained, ExportedModel):
        results: Iterator[Any] = stream_outputs(trained, paths, options.batch_size, options.workers, read)
    else:
        how = (options.batch_size, options.workers, options.precision, options.device, read)
        results = stream_logits(trained.predictor, paths, trained.inputs, *how)
    rows = []
    for _, logits, error in watched(results, len(paths), words):
        if error is not None:
            raise HemfError(error)
        rows.append(logits)
    stacked: Any = np.stack(rows) if isinstance(trained, ExportedModel) else torch.stack(rows)
    said = trained.combined(stacked, speaking)
    return Predictions.of(samples, said, trained.classes, trained.calibration, trained.task)


def stream_logits(
    model: nn.Module,
    paths: Sequence[Any],
    spec: Inputs,
    batch_size: int = 32,
    workers: int | None = None,
    precision: PrecisionOption = "auto",
    device: str | torch.device = "auto",
    read: Reader = read_image,
    on_empty: Callable[[Any, str], None] | None = None,
) -> Iterator[Result]:
    """Yield the logits of images, in their order; arguments and errors as for ``stream_batches``.

    Args:
        on_empty: called with a path and what it is, where an image shows nothing (see ``emptiness``).

    Yields:
        (path, logits, None) with K float32 logits on the CPU, or (path, None, message) where the image is
        unreadable.
    """
    for batch in stream_batches(model, paths, spec, batch_size, workers, precision, device, read):
        for path, row, error, nothing in zip(
            batch.items, batch.logits, batch.errors, batch.empty, strict=True
        ):
            if nothing is not None and on_empty is not None:
                on_empty(path, nothing)
            yield (path, row, None) if error is None else (path, None, error)


def stream_batches(
    model: nn.Module,
    paths: Sequence[Any],
    spec: Inputs,
    batch_size: int = 32,
    workers: int | None = None,
    precision: PrecisionOption = "auto",
    device: str | torch.device = "auto",
    read: Reader = read_image,
) -> Iterator[Batch]:
    """Yield images in their order with what a model makes of them, read by other processes while it computes.

    The logits of an image depend on its file, the model, precision and device, and (in the last bits) on the
    batch size; not on the number of workers, nor on other images being unreadable. The body runs under
    autocast for bf16 and fp16, the head always in float32: rounded to 8 bits, logits would tie.

    Args:
        model: a timm model; it is moved to ``device``, in channels-last memory, and to evaluation mode.
        paths: image files, whatever ``read`` takes, or images already ``Prepared`` for this model.
        spec: the model's input, or a tuple of several, of which it then takes a list.
        batch_size: images that go through the model at once.
        workers: processes that read images; by default one a core, at most 8, a quarter of the cores where
            the model computes on them too, and none for few images.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``auto``.
        device: torch's name of a device, or ``auto`` for a GPU where there is one.
        read: from an item of ``paths``, an image mode and a window to a PIL image; called once for each mode
            and window.

    Raises:
        HemfError: bad options, a device that is not there or too small, logits that are not finite, or a
            reading process that the system stopped.
    """
    if batch_size < 1 or (workers is not None and workers < 0):
        raise HemfError(f"--batch-size is {batch_size}, --workers {workers}; give at least 1 and at least 0")
    device = pick_device(device)
    precision = resolve_precision(precision, device.type)
    specs = spec if isinstance(spec, tuple) else (spec,)
    model, normalise = _moved(model, device), [normaliser(one) for one in specs]
    on_cpu = device.type == "cpu"
    workers, threads = worker_count(workers, len(paths), on_cpu=on_cpu), model_threads(on_cpu=on_cpu)
    loader = DataLoader(
        _Images(paths, specs, read),
        batch_size,
        num_workers=workers,
        worker_init_fn=same_limits(),
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # the loader draws a number; not from the caller's stream
    )
    left = iter(paths)
    with killed_workers_explained(), computing_on(threads):
        for pixels, errors, empty, sizes in loader:
            items = list(islice(left, len(errors)))
            inputs, logits = _computed(model, pixels, normalise, precision, device, spec is specs)
            for path, row, error in zip(items, logits, errors, strict=True):
                if error is None and not torch.isfinite(row).all():
                    raise HemfError(f"the model's outputs for {path} are not finite; try --precision fp32")
            yield Batch(items, inputs, logits, errors, empty, sizes)


def prepare(item: Any, spec: Inputs, read: Reader = read_image) -> Prepared:
    """Read an image now, to go through a model later: what a stream does with each, at a time of one's own.

    Args:
        item: an image file, or whatever ``read`` takes.
        spec: the model's input, or a tuple of several.
        read: as for ``stream_batches``.
    """
    found = _Images([item], spec if isinstance(spec, tuple) else (spec,), read)[0]
    return Prepared(item, found, found[1], found[2])


class _Images(Dataset):
    """(pixels, why it cannot be read, what it is if it shows nothing, width and height) of each path."""

    def __init__(self, paths: Sequence[Any], specs: Sequence[InputSpec], read: Reader) -> None:
        self.paths, self.specs, self.read = paths, specs, read
        self.transforms = [eval_pixels(spec) for spec in specs]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        one = self.paths[index]
        if isinstance(one, Prepared):
            return one.read
        try:
            return self._image(one)
        except HemfError as error:
            zeros = [torch.zeros(spec.input_size, dtype=torch.uint8) for spec in self.specs]
            return zeros, str(error), None, (0, 0)

    def _image(self, path: Any) -> Item:
        """Read an image, once for each mode and window, and bring it into every form."""
        try:
            kinds: list[tuple[ImageMode, str]] = [(spec.image_mode, spec.window) for spec in self.specs]
            images = {kind: self.read(path, *kind) for kind in dict.fromkeys(kinds)}
            pixels = [form(images[kind]) for kind, form in zip(kinds, self.transforms, strict=True)]
            image = images[kinds[0]]
            return pixels, None, emptiness(image), image.size
        except MemoryError as error:
            raise HemfError(f"{path} needs more memory than there is; shrink it, or leave it out") from error


def _collate(items: list[Item]) -> tuple[list[Tensor], list, list, list]:
    """Batch pixels B x C x H x W of each form in channels-last memory, and all else."""
    images, errors, empty, sizes = map(list, zip(*items, strict=True))
    forms = [torch.stack([one.permute(1, 2, 0) for one in form]) for form in zip(*images, strict=True)]
    return [form.permute(0, 3, 1, 2) for form in forms], errors, empty, sizes


def _moved(model: nn.Module, device: torch.device) -> nn.Module:
    try:
        return model.eval().to(device).to(memory_format=torch.channels_last)
    except torch.OutOfMemoryError as error:
        raise HemfError(f"the model does not fit into the memory of {device}; free it or use cpu") from error


def _computed(
    model: nn.Module,
    pixels: list[Tensor],
    normalise: list[Normalise],
    precision: str,
    device: torch.device,
    several: bool,
) -> tuple[Any, Tensor]:
    """Return the inputs, and float32 logits B x K on the CPU.

    The inputs stand outside inference mode, as heat maps need; and the mode ends here, for a generator would
    leak it to its consumer.
    """
    try:
        forms = zip(normalise, pixels, strict=True)
        inputs: Any = [own(form.to(device, non_blocking=True)) for own, form in forms]
        inputs = inputs if several else inputs[0]
        autocast = torch.autocast(device.type, AUTOCAST[precision], enabled=precision != "fp32")
        with torch.inference_mode(), autocast:
            return inputs, float32_logits(model, inputs).cpu()
    except torch.OutOfMemoryError as error:
        raise HemfError(
            f"a batch of {counted(len(pixels[0]), 'image')} does not fit into the memory of {device}; "
            "give a smaller --batch-size"
        ) from error
