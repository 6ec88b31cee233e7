"""Images of a data set, batch by batch, with the class that the model predicts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from hemf.core.precision import float32_logits
from hemf.data.image.read import read_image
from hemf.data.transforms import eval_transform
from hemf.explanation.taps import classes_of
from hemf.inference.load import TrainedModel

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet, Sample


@dataclass(frozen=True)
class Batch:
    """Some images as the model gets them.

    Args:
        samples: which they are.
        sizes: width and height of each original.
        inputs: B x C x H x W.
        targets: the class that the model predicts for each.
    """

    samples: list["Sample"]
    sizes: list[tuple[int, int]]
    inputs: Tensor
    targets: list[int]


def batches(
    trained: TrainedModel, images: "DataSet", samples: Sequence["Sample"], batch_size: int, words: str
) -> Iterator[Batch]:
    """Read the samples in their order, under a progress bar where stderr is a terminal.

    Args:
        trained: the model, on the device on which it is to run.
        images: the data set of the samples.
        samples: which to read.
        batch_size: images in a batch.
        words: before the progress bar.

    Raises:
        UnreadableImage: one cannot be read.
    """
    spec = trained.spec
    transform, console = eval_transform(spec), Console(stderr=True)
    device = next(trained.model.parameters()).device
    starts = range(0, len(samples), batch_size)
    for start in track(starts, words, console=console, transient=True, disable=not console.is_terminal):
        chosen = list(samples[start : start + batch_size])
        pictures = [read_image(images.path(one), spec.image_mode, spec.window) for one in chosen]
        inputs = torch.stack([transform(picture) for picture in pictures])
        with torch.inference_mode():
            targets = classes_of(None, float32_logits(trained.model, inputs.to(device)))
        yield Batch(chosen, [picture.size for picture in pictures], inputs, targets)
