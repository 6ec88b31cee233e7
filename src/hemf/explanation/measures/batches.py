"""Images of a data set, batch by batch, with the class that the model predicts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from hemf.core.errors import UnreadableImage
from hemf.data.image.read import read_image
from hemf.explanation.taps import classes_of
from hemf.inference.load import TrainedModel
from hemf.inference.stream import stream_batches
from hemf.runtime.stream import watched

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
    device, paths = next(trained.model.parameters()).device, [images.path(one) for one in samples]
    how = {"batch_size": batch_size, "precision": "fp32", "device": device, "read": read_image}
    found = stream_batches(trained.model, paths, trained.spec, **how)
    left = iter(samples)
    for batch in watched(found, -(-len(samples) // batch_size), words):
        if error := next(filter(None, batch.errors), None):
            raise UnreadableImage(error)
        chosen = [next(left) for _ in batch.items]
        yield Batch(chosen, batch.sizes, batch.inputs.cpu(), classes_of(None, batch.logits))
