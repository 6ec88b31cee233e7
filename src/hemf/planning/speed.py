"""How fast this machine reads, trains and predicts with a candidate, by a few real steps of it."""

import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from hemf.config.run_config import RunConfig
from hemf.core.machine import computing_on, model_threads
from hemf.core.precision import AUTOCAST, float32_logits
from hemf.data.dataset import DataSet
from hemf.data.loading.datamodule import ImageData
from hemf.data.loading.workers import worker_count
from hemf.training.classification import build
from hemf.training.lightning import first_device, picked_precision
from hemf.training.module import ImageClassifier
from hemf.training.network import build_optimizer
from hemf.training.probe.fit import FOLDS, STRENGTHS

LONGEST = 4.0  # seconds that one kind of work is timed at most, after its first batch
DISK = 100e6  # bytes a second that a checkpoint is written at, flushed
ITERATIONS = 30  # of a logistic regression, on average over the strengths of its penalty
ROWS, TIMED_ITERATIONS = 2000, 10  # with which one is timed
BATCHES = 5  # that are timed at most, of which the first does not count

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Speed:
    """Seconds, of an image where nothing else is said.

    Args:
        reading: to read an image and augment it.
        training: to compute a step on it; 0 of a probe, which takes none.
        looking: to read an image as validation does.
        predicting: to compute its outputs.
        readers: processes that read while the model computes.
        saving: seconds to write the checkpoints of an epoch.
        features: numbers that the last layer reads.
    """

    reading: float
    training: float
    looking: float
    predicting: float
    readers: int
    saving: float
    features: int

    def epoch(self, train: int, val: int) -> float:
        """Return the seconds of an epoch with its validation."""
        return train * self._together(self.reading, self.training) + self.prediction(val) + self.saving

    def prediction(self, images: int) -> float:
        """Return the seconds that so many images take to be predicted."""
        return images * self._together(self.looking, self.predicting)

    def probe(self, train: int, val: int, classes: int) -> float:
        """Return the seconds of a linear probe: features of every image and its mirror image, and the fit."""
        fits = (len(STRENGTHS) * (FOLDS - 1) + 1) * ITERATIONS
        rows = 2 * train
        return self.prediction(rows + val) + fits * rows * iteration_seconds(self.features, classes)

    def _together(self, reading: float, computing: float) -> float:
        return max(reading / self.readers, computing) if self.readers else reading + computing


def measure(config: RunConfig, data: DataSet, most: float = LONGEST) -> Speed:
    """Time a few real steps.

    Args:
        config: the candidate; its weights do not matter.
        data: the images, with their split.
        most: seconds for each kind of work, after its first batch.

    Raises:
        HemfError: the candidate cannot be trained on the data.
    """
    device = torch.device(first_device(config))
    alone = replace(config, init=None, pretrained=False, probe=False, probe_first=False, workers=0)
    on_cpu = device.type == "cpu"
    with computing_on(model_threads(on_cpu=on_cpu)):
        images, classifier = build(alone, data)
        classifier.to(device)
        reading, batches = _reading(images.train_dataloader(), most)
        training = 0.0 if config.probe else _an_image(_steps(classifier, images, batches, device), most)
        looking, batches = _reading(images.eval_dataloader(images.val_split or "train"), most)
        predicting = _an_image(_predictions(classifier, images, batches, device), most)
    weights = sum(value.numel() * value.element_size() for value in classifier.model.state_dict().values())
    saving = 2 * 4 * weights / DISK  # best and last; weights, their average and two moments
    readers = worker_count(config.workers, len(images.samples("train")), on_cpu=on_cpu)
    width = getattr(classifier.model.get_classifier(), "in_features", 1)
    return Speed(reading, training, looking, predicting, readers, saving, width)


def iteration_seconds(features: int, classes: int) -> float:
    """Return the seconds that a row costs in an iteration of the probe's regression."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows, labels = np.random.default_rng(0).normal(size=(ROWS, features)), np.arange(ROWS) % classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        LogisticRegression(max_iter=1).fit(rows[: 2 * classes], labels[: 2 * classes])  # warms up
        started = time.perf_counter()
        LogisticRegression(max_iter=TIMED_ITERATIONS).fit(rows, labels)
    return (time.perf_counter() - started) / (TIMED_ITERATIONS * ROWS)


def _reading(loader: Iterable[Batch], most: float) -> tuple[float, list[Batch]]:
    """Return the seconds that an image takes to be read, and the batches; the first one warms up."""
    batches: list[Batch] = []

    def read() -> Iterator[int]:
        for batch in islice(loader, BATCHES):
            batches.append(batch)
            yield len(batch["label"])

    return _an_image(read(), most), batches


def _an_image(work: Iterator[int], most: float) -> float:
    """Return the seconds an image of work that yields its images part by part; the first warms up."""
    seconds, images, started = 0.0, 0, time.perf_counter()
    for number, done in enumerate(work):
        now = time.perf_counter()
        if number == 1:  # forget what warmed up
            seconds, images = 0.0, 0
        seconds, images, started = seconds + now - started, images + done, now
        if number > 0 and seconds > most:
            break
    return seconds / images


def _steps(
    classifier: ImageClassifier, images: ImageData, batches: list[Batch], device: torch.device
) -> Iterator[int]:
    """Take training steps, and yield the images of each."""
    config = classifier.config
    optimizer = build_optimizer(config, classifier.model.train())
    for batch in (batches * BATCHES)[:BATCHES]:
        moved = images.on_after_batch_transfer({name: value.to(device) for name, value in batch.items()}, 0)
        with _autocast(config, device):
            loss = classifier.loss_of(moved["image"], moved["label"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for a GPU
        yield len(batch["label"])


def _predictions(
    classifier: ImageClassifier, images: ImageData, batches: list[Batch], device: torch.device
) -> Iterator[int]:
    """Predict batches, and yield the images of each."""
    model = classifier.model.eval()
    for batch in (batches * BATCHES)[:BATCHES]:
        moved = images.on_after_batch_transfer({"image": batch["image"].to(device)}, 0)
        with torch.inference_mode(), _autocast(classifier.config, device):
            float32_logits(model, moved["image"]).cpu()
        yield len(batch["label"])


def _autocast(config: RunConfig, device: torch.device) -> torch.autocast:
    precision = picked_precision(config)
    return torch.autocast(device.type, AUTOCAST[precision], enabled=precision != "fp32")
