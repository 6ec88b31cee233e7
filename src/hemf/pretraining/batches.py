"""Batches of a pretraining: several views of each image, and some images as they are to watch over it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.data.loading.datamodule import ImageData, ImageLoader
from hemf.data.loading.sampler import mixed_seed
from hemf.data.transforms import train_transform
from hemf.pretraining.images import has_labels

BANK, QUERIES = 2000, 1000
"""Training images, and validation images, that are looked at after each epoch, at most."""
WATCHED = 7  # sets this draw apart from those of the epochs


class Views:
    """Several random views of an image, one behind the other in one tensor of views * C channels."""

    def __init__(self, transform: Callable[[Tensor], Tensor], number: int) -> None:
        self.transform, self.number = transform, number

    def __call__(self, pixels: Tensor) -> Tensor:
        return torch.cat([self.transform(pixels) for _ in range(self.number)])


class ViewedImages(ImageData):
    """Batches whose ``image`` is (views * B) x C x H x W: the first views of all images, then the second.

    The batches of validation show ``watched``: training images, and validation images after them.

    Args:
        data: the images; those of the training side are learnt from.
        config: the run's options.
        views: views of each image.
    """

    def __init__(self, data: DataSet, config: RunConfig, views: int) -> None:
        super().__init__(data, config)
        self.views, self.val_split = views, None  # no split chooses an epoch
        queries = self.samples("val") if has_labels(data) else []
        bank = _some(self.samples("train"), BANK, config.seed)
        self.watched = [*bank, *_some(queries, QUERIES, config.seed)]
        self.bank = len(bank)

    def setup(self, stage: str) -> None:
        """Refuse augmentation out of its range, and fewer than two images."""
        train_transform(self.config)
        if len(self.samples("train")) < 2:
            raise HemfError(f"{self.data.name} has fewer than two training images; give a folder with more")

    def train_dataloader(self) -> ImageLoader:
        """Return the shuffled, augmented batches of all views."""
        transform = Views(train_transform(self.config), self.views)
        return self._loader(self.samples("train"), transform, training=True)

    def val_dataloader(self) -> ImageLoader:
        """Return the watched images, as they are."""
        return self._evaluated(self.watched)

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """The batch with its images as normalised floats, view by view."""
        parts = batch["image"].split(self.config.in_chans, 1)
        return batch | {"image": torch.cat([self.normalise(part) for part in parts])}


def _some(samples: list[Sample], most: int, seed: int) -> list[Sample]:
    """Return at most so many of the samples, drawn at random, in their order."""
    if len(samples) <= most:
        return samples
    drawn = np.random.default_rng(mixed_seed(seed, WATCHED)).choice(len(samples), most, replace=False)
    return [samples[i] for i in sorted(drawn)]
