"""Makes batches of a data set whose random numbers come from (seed, epoch, sample) alone.

A run that is killed and resumed, or that reads with another number of workers, sees the same batches bit for
bit: the sampler's keys carry the epoch to the workers, and each image is drawn from a generator of its own.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError, UnreadableImage
from hemf.data.checks.gaps import all_in_training
from hemf.data.dataset import DataSet, Sample
from hemf.data.image.decode import ImageMode
from hemf.data.image.jpeg import read_pixels
from hemf.data.loading.cache import DecodedImages
from hemf.data.loading.sampler import EpochSampler, Key, mixed_seed
from hemf.data.loading.workers import same_limits, worker_count
from hemf.data.preprocessing import InputSpec
from hemf.data.transforms import PixelTransform, eval_pixels, normaliser, train_transform

Encode = Callable[[str, Sequence[str]], Any]
Item = dict[str, Any] | UnreadableImage


@contextmanager
def seeded(seed: int, *key: int) -> Iterator[None]:
    """Start torch's CPU generator from (seed, key) inside the block, and restore it afterwards."""
    generator = torch.random.default_generator
    state = generator.get_state()
    generator.manual_seed(mixed_seed(seed, *key))
    try:
        yield
    finally:
        generator.set_state(state)


def class_index(label: str, classes: Sequence[str]) -> int:
    """Return the target of a classifier."""
    return classes.index(label)


class ImageDataset(Dataset):
    """Images of some samples, by (epoch, index); a plain index means epoch 0.

    An item is ``{"image": uint8 C x H x W, "label": target, "index": int}``. A file that cannot be read comes
    back as the ``UnreadableImage`` itself, because an exception would reach the main process as a worker's
    traceback; ``ImageLoader`` raises it there.

    Args:
        samples: the samples; their labels are among ``classes``.
        root: folder that the samples' paths start from.
        classes: names of the classes, in the order of the model's outputs.
        transform: from pixels to pixels of one size; it may draw from torch's global generator.
        seed: seed of the run.
        image_mode: ``RGB`` or ``L``, what ``transform`` expects.
        window: window of DICOM images, as ``read_image`` takes it.
        cache: the decoded images, where there is a cache.
        encode: from a label and the classes to the target, a number or an array.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        root: str | os.PathLike,
        classes: Sequence[str],
        transform: PixelTransform,
        seed: int = 0,
        image_mode: ImageMode = "RGB",
        window: str = "auto",
        cache: DecodedImages | None = None,
        encode: Encode = class_index,
    ) -> None:
        self.samples, self.root, self.transform = list(samples), Path(root), transform
        self.seed, self.window, self.cache = seed, window, cache
        self.image_mode: ImageMode = image_mode
        self.targets = {name: encode(name, classes) for name in {s.label for s in samples}}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key | int) -> Item:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        sample = self.samples[index]
        pixels = None if self.cache is None else self.cache.get(sample.path)
        try:
            if pixels is None:
                pixels = read_pixels(self.root / sample.path, self.image_mode, self.window)
        except UnreadableImage as error:
            return error
        with seeded(self.seed, epoch, index):
            return {"image": self.transform(pixels), "label": self.targets[sample.label], "index": index}


class ImageLoader(DataLoader):
    """A ``DataLoader`` that raises a worker's ``UnreadableImage`` as it is, in the main process."""

    def __iter__(  # pyright: ignore[reportIncompatibleMethodOverride]  # torch names a private class
        self,
    ) -> Iterator[dict[str, Tensor]]:
        return map(_readable, super().__iter__())


def _readable(batch: Any) -> dict[str, Tensor]:
    if isinstance(batch, UnreadableImage):
        raise batch
    return batch


def _collate(items: list[Item]) -> Any:
    """Return a batch with the images B x C x H x W in channels-last memory, or the first unreadable item."""
    readable = []
    for item in items:
        if isinstance(item, UnreadableImage):
            return item
        readable.append(item | {"image": item["image"].permute(1, 2, 0)})
    batch = default_collate(readable)
    return batch | {"image": batch["image"].permute(0, 3, 1, 2)}


class ImageData(LightningDataModule):
    """Train, validation and test batches of a data set, as a run's options ask.

    A batch is ``{"image": B x C x H x W (channels-last), "label": B targets, "index": long B}``, where the
    index counts within ``samples(split)``. The images leave the loaders as uint8 and become normalised floats
    on the model's device, in ``on_after_batch_transfer``. Only training shuffles and augments.

    On several devices validation and test show every image once, so the devices may have different numbers of
    batches; under FSDP, which must keep step, up to devices - 1 images occur twice. Use the trainer
    with ``use_distributed_sampler=False``.

    Args:
        data: a data set whose split is resolved (one fold chosen, where it has folds).
        config: the run's options.
        cache: the decoded images, where there is a cache.
        encode: from a label and the classes to the target; by default the class's index.
    """

    def __init__(
        self,
        data: DataSet,
        config: RunConfig,
        cache: DecodedImages | None = None,
        encode: Encode = class_index,
    ) -> None:
        super().__init__()
        self.encode = encode
        self.data, self.config, self.spec = data, config, InputSpec.from_config(config)
        self.normalise, self.cache = normaliser(self.spec), cache
        self.val_split = None if config.val_split == "none" else config.val_split

    def samples(self, split: str) -> list[Sample]:
        """Return the samples of a split, in the order that a batch's ``index`` counts."""
        return self.data.subset(split)

    def class_counts(self, split: str) -> list[int]:
        """Return the number of images of each class in a split, in the order of the classes."""
        counts = Counter(sample.label for sample in self.samples(split))
        return [counts[name] for name in self.data.classes]

    def setup(self, stage: str) -> None:
        """Refuse options and splits that cannot be trained with.

        Raises:
            HemfError: an augmentation option out of its range, no training images, a class without any, or no
                validation images though asked for.
        """
        if stage != "fit":
            return
        train_transform(self.config)
        counts = self.class_counts("train")
        if not sum(counts):
            raise HemfError(
                f"{self.data.name} has no training images; prepare it with a split, such as --split grouped"
            )
        missing = [name for name, count in zip(self.data.classes, counts, strict=True) if count == 0]
        if missing:
            raise HemfError(
                f"no training image of {', '.join(missing)} in {self.data.name}; "
                "prepare another split, or leave the class out"
            )
        if self.val_split and not self.samples(self.val_split):
            raise HemfError(
                all_in_training(self.data)
                or f"{self.data.name} has no {self.val_split} images to choose a checkpoint by; "
                "prepare it with some, or train with --val-split none"
            )

    def train_dataloader(self) -> ImageLoader:
        """Return the shuffled, augmented batches."""
        return self._loader(self.samples("train"), train_transform(self.config), training=True)

    def val_dataloader(self) -> ImageLoader | list:
        """Return the batches of the split that chooses the checkpoint; none where there is no such split."""
        return self.eval_dataloader(self.val_split) if self.val_split else []

    def test_dataloader(self) -> ImageLoader:
        """Return the batches of the test split."""
        return self.eval_dataloader("test")

    def eval_dataloader(self, split: str) -> ImageLoader:
        """Return batches of any split as validation sees them: in order, complete, without augmentation."""
        return self._evaluated(self.samples(split))

    def _evaluated(self, samples: list[Sample]) -> ImageLoader:
        """Return batches of some samples as validation sees them."""
        return self._loader(samples, v2.Compose([v2.ToPILImage(), eval_pixels(self.spec)]), training=False)

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """The batch with its images as normalised floats; Lightning calls this on the model's device."""
        return batch | {"image": self.normalise(batch["image"])}

    def _weights(self) -> np.ndarray | None:
        """Return how likely each training image is to be drawn, by ``--sampling``."""
        power = {"natural": None, "square-root": 0.5, "balanced": 1.0}[self.config.sampling]
        if power is None:
            return None
        samples = self.samples("train")
        counts = Counter(s.label for s in samples)
        weights = np.array([counts[s.label] ** -power for s in samples])
        return weights / weights.sum()

    def _loader(self, samples: list[Sample], transform: PixelTransform, *, training: bool) -> ImageLoader:
        config, trainer = self.config, self.trainer
        dataset = ImageDataset(
            samples,
            self.data.root,
            self.data.classes,
            transform,
            config.seed,
            self.spec.image_mode,
            self.spec.window,
            self.cache,
            self.encode,
        )
        sampler = EpochSampler(
            len(dataset),
            config.seed,
            shuffle=training,
            batch_size=config.batch_size if training else 1,
            rank=trainer.global_rank if trainer else 0,
            num_replicas=trainer.world_size if trainer else 1,
            pad=training or (trainer is not None and isinstance(trainer.strategy, FSDPStrategy)),
            weights=self._weights() if training else None,
        )
        if trainer:  # Lightning starts the workers of a resumed run before it sets the epoch, or counts it
            epochs: Any = trainer.fit_loop.epoch_progress.current  # typed as its base class
            sampler.set_epoch(epochs.processed)
        on_cpu = trainer is not None and trainer.strategy.root_device.type == "cpu"
        devices = trainer.num_devices if trainer else 1
        workers = worker_count(config.workers, len(dataset), devices, on_cpu=on_cpu)
        return ImageLoader(
            dataset,
            config.batch_size,
            sampler=sampler,
            num_workers=workers,
            worker_init_fn=same_limits(),
            collate_fn=_collate,
            pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # the loader draws a number an epoch; not from the model's stream
        )
