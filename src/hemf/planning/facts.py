"""What a plan looks at: the images and their classes, and the machine."""

import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from hemf.config.run_config import RunConfig
from hemf.core.device import device_type
from hemf.core.errors import HemfError, UnreadableImage
from hemf.core.machine import usable_cores
from hemf.core.text import counted, patients, printable
from hemf.data.dataset import DataSet, Sample
from hemf.data.fingerprints import SECONDS, take_fingerprints
from hemf.data.image.read import read_image
from hemf.training.lightning import picked_precision

LOOKED_AT = 48  # images; sizes and colour of a data set are much alike
TIMED = 4  # images whose fingerprints are timed


@dataclass(frozen=True)
class Facts:
    """What a plan rests on.

    Args:
        data: the images, with train, val and test sides.
        train: training images of each class.
        val: images of each class that are to choose the checkpoint.
        width: median width in pixels.
        height: median height in pixels.
        oblong: ratio of the longer to the shorter side that 95% of the images do not exceed.
        grey: whether no image has colour.
        cpu: whether the model computes on the processor.
        machine: device, cores and number format, in words.
        fingerprints: seconds that the fingerprints of all images take.
    """

    data: DataSet
    train: dict[str, int]
    val: dict[str, int]
    width: int
    height: int
    oblong: float
    grey: bool
    cpu: bool
    machine: str
    fingerprints: float

    @property
    def images(self) -> int:
        """Return the number of training images."""
        return sum(self.train.values())

    @property
    def imbalance(self) -> float:
        """Return how many times as many training images the largest class has as the smallest."""
        return max(self.train.values()) / max(min(self.train.values()), 1)

    def __str__(self) -> str:
        sizes = sorted(self.train.values())
        each = f"{sizes[0]} to {sizes[-1]}" if sizes[0] < sizes[-1] else f"{sizes[0]}"
        groups = patients(self.data.groups)
        return printable(
            f"{counted(self.images, 'training image')} ({each} of each of "
            f"{counted(len(sizes), 'class', 'classes')}), "
            f"{sum(self.val.values())} to validate; {groups if self.data.groups else 'no patients known'}; "
            f"about {self.width} x {self.height} pixels, {'grey' if self.grey else 'colour'}"
        )


def look_at(data: DataSet, config: RunConfig) -> Facts:
    """Look at a data set whose split is resolved, and at the machine.

    Raises:
        HemfError: there are no training images, or none of those looked at can be read.
    """
    train = data.subset("train")
    if not train:
        raise HemfError(f"{data.name} has no training images; prepare it with --split grouped, say")
    val = [] if config.val_split == "none" else data.subset(config.val_split)
    sizes, grey = _looks(data, train, config)
    width, height = np.median(sizes, 0).astype(int).tolist()
    ratios = np.max(sizes, 1) / np.min(sizes, 1)
    device = device_type(config.accelerator)
    return Facts(
        data,
        _counts(data, train),
        _counts(data, val),
        width,
        height,
        float(np.quantile(ratios, 0.95)),
        grey,
        device == "cpu",
        f"{device}, {counted(usable_cores(), 'core')}, {picked_precision(config)}",
        _fingerprint_seconds(data),
    )


def _counts(data: DataSet, samples: list[Sample]) -> dict[str, int]:
    found = Counter(s.label for s in samples)
    return {name: found[name] for name in data.classes}


def _looks(data: DataSet, samples: list[Sample], config: RunConfig) -> tuple[np.ndarray, bool]:
    """Return N x 2 widths and heights, and whether no image has colour, of some evenly spread samples."""
    sizes, grey = [], True
    for sample in islice(samples, 0, None, max(1, len(samples) // LOOKED_AT)):
        try:
            image = read_image(data.path(sample), "RGB", config.window)
        except UnreadableImage:
            continue  # training names it
        sizes.append(image.size)
        pixels = np.asarray(image.resize((32, 32))).astype(int)
        grey = grey and np.ptp(pixels, axis=2).mean() < 2  # JPEG tints grey a little
    if not sizes:
        raise HemfError(f"none of the training images of {data.name} that a plan looks at can be read")
    return np.array(sizes), bool(grey)


def _fingerprint_seconds(data: DataSet) -> float:
    """Return what the start of a run spends on knowing its images again."""
    take_fingerprints(replace(data, samples=data.samples[:1]))  # imports what it needs
    started = time.perf_counter()
    take_fingerprints(replace(data, samples=data.samples[-TIMED:]))
    an_image = (time.perf_counter() - started) / len(data.samples[-TIMED:])
    return min(an_image * len(data.samples), SECONDS + 0.001 * len(data.samples))
