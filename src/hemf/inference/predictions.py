"""What a model says of labelled images: one record for whatever measures, shows or writes it."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hemf.calibration.record import UNCALIBRATED, Calibration
from hemf.core.errors import HemfError
from hemf.core.files import whole_file
from hemf.core.strict_csv import read_csv_table
from hemf.data.dataset import METADATA
from hemf.runtime.description import Said
from hemf.tasks import MULTICLASS, Task

if TYPE_CHECKING:
    from torch import Tensor

    from hemf.data.dataset import Sample

HEAD = ["path", "label", "prediction"]


@dataclass(frozen=True)
class Predictions:
    """N images with their classes, and what a model says of them.

    Args:
        paths: where the images are, relative to their data set's root.
        labels: N targets as the task encodes them, such as class indices, int64.
        probabilities: N x K, float64, calibrated where the model is.
        groups: patient or lesion of each image; empty where unknown.
        classes: names of the K classes.
        logits: N x K, float32; None where only the probabilities are known.
        task: what the model is asked about an image.
        disagreement: of the members of an ensemble about each image, N from 0 to 1, NaN where a single one
            speaks; None for one model.
        metadata: by column N values, "" where one is missing: what else is known of the images.
        unfamiliarity: how unlike the training images each is, N, above 1 beyond the model's limit; None where
            the model keeps no score.
    """

    paths: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    groups: list[str]
    classes: list[str]
    logits: "Tensor | np.ndarray | None" = None
    task: Task = MULTICLASS
    disagreement: np.ndarray | None = None
    metadata: Mapping[str, list[str]] = field(default_factory=dict)
    unfamiliarity: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        samples: Sequence["Sample"],
        said: Said,
        classes: Sequence[str],
        calibration: Calibration = UNCALIBRATED,
        task: Task = MULTICLASS,
    ) -> Self:
        """Return the record of what a model says of N samples."""
        return cls(
            [s.path for s in samples],
            np.array([task.encode(s.label, classes) for s in samples]),
            calibration.of_images(said.logits, task),
            [s.group for s in samples],
            list(classes),
            said.logits,
            task,
            said.disagreement,
            metadata_of(samples),
            said.unfamiliarity,
        )

    @cached_property
    def decisions(self) -> np.ndarray:
        """What the model takes each image for, N targets."""
        return self.task.decide(self.probabilities)

    def chosen(self, images: np.ndarray) -> Self:
        """Return the record of those of the images alone that N booleans choose."""
        places = np.flatnonzero(images).tolist()
        return replace(
            self,
            paths=[self.paths[i] for i in places],
            labels=self.labels[places],
            probabilities=self.probabilities[places],
            groups=[self.groups[i] for i in places],
            logits=None if self.logits is None else self.logits[places],
            disagreement=None if self.disagreement is None else self.disagreement[places],
            unfamiliarity=None if self.unfamiliarity is None else self.unfamiliarity[places],
            metadata={name: [values[i] for i in places] for name, values in self.metadata.items()},
        )

    def with_calibration(self, calibration: Calibration) -> Self:
        """Return the same logits with the probabilities that another calibration gives."""
        if self.logits is None:
            raise ValueError("these predictions have no logits")
        return replace(self, probabilities=calibration.of_images(self.logits, self.task))

    @cached_property
    def uncalibrated(self) -> np.ndarray:
        """The probabilities that the model would give without its calibration, N x K."""
        return self.with_calibration(UNCALIBRATED).probabilities


def metadata_of(samples: Sequence["Sample"]) -> dict[str, list[str]]:
    """Return the metadata of samples by column."""
    names = dict.fromkeys(name for s in samples for name in s.metadata)
    return {name: [s.metadata.get(name, "") for s in samples] for name in names}


def pooled(parts: Sequence[Predictions], paths: Sequence[str]) -> Predictions:
    """Return one record of several of the same classes, with the images in the order of ``paths``."""
    place = {path: i for i, path in enumerate(path for part in parts for path in part.paths)}
    order = [place[path] for path in paths]
    groups = [group for part in parts for group in part.groups]
    return Predictions(
        list(paths),
        np.concatenate([part.labels for part in parts])[order],
        np.concatenate([part.probabilities for part in parts])[order],
        [groups[i] for i in order],
        parts[0].classes,
        task=parts[0].task,
        metadata={
            name: [values[i] for i in order]
            for name in parts[0].metadata
            for values in [[value for part in parts for value in part.metadata[name]]]
        },
    )


def read_predictions(file: Path) -> Predictions:
    """Read the predictions that ``hemf evaluate`` wrote, with the images' groups.

    Groups are those of the run's manifest; of another data set, those of ``groups.csv`` beside the file.

    Args:
        file: a ``predictions.csv``, in its place ``RUN/evaluation/SPLIT``.

    Raises:
        HemfError: there is no such file, or it does not hold what hemf writes.
    """
    file = Path(file)
    try:
        if not file.exists():
            raise FileNotFoundError(file)
        table = read_csv_table(file, ",", errors="surrogateescape", mend="evaluate again")
        head, rows = table.head, table.rows
        classes = [name for name in head[len(HEAD) :] if not name.startswith(METADATA)]
        index = {name: k for k, name in enumerate(classes)}
        end = len(HEAD) + len(classes)
        probabilities = np.array([row[len(HEAD) : end] for row in rows], dtype=np.float64)
        metadata = {
            name.removeprefix(METADATA): [row[i] for row in rows] for i, name in enumerate(head) if i >= end
        }
        labels = np.array([index[row[1]] for row in rows], dtype=np.int64)
        if head[: len(HEAD)] != HEAD or probabilities.shape != (len(rows), len(classes)):
            raise ValueError("other columns")
    except FileNotFoundError as error:
        raise HemfError(f"no predictions at {file}; make them with hemf evaluate") from error
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise HemfError(f"{file} does not hold the predictions of hemf evaluate; evaluate again") from error
    known, paths = _groups(file), [row[0] for row in rows]
    groups = [known.get(path, "") for path in paths]
    return Predictions(paths, labels, probabilities, groups, classes, metadata=metadata)


def _groups(file: Path) -> dict[str, str]:
    """Group of each image by its path."""
    from hemf.data.sources.csv import read_rows

    beside, manifest = file.with_name("groups.csv"), file.parents[2] / "manifest.csv"
    if beside.is_file():
        table = read_csv_table(beside, ",", errors="surrogateescape", mend="evaluate again")
        return {row["path"]: row["group"] for row in table.records()}
    return {s.path: s.group for s in read_rows(manifest)} if manifest.is_file() else {}


def write_predictions(file: Path, found: Predictions) -> None:
    """Write a row for each image: path, label, prediction, probabilities to the last bit, and metadata.

    The columns of metadata are called ``metadata.NAME``, so that none has the name of a class.
    """

    def name(target: Any) -> str:
        return found.task.decode(target, found.classes)

    rows = zip(found.paths, found.labels, found.decisions, found.probabilities.tolist(), strict=True)
    further = list(found.metadata.values())
    lines = (
        [path, name(label), name(decision), *row, *(values[i] for values in further)]
        for i, (path, label, decision, row) in enumerate(rows)
    )
    head = [*HEAD, *found.classes, *(f"{METADATA}{column}" for column in found.metadata)]
    _write(file, head, lines)


def write_groups(file: Path, found: Predictions) -> None:
    """Write the patient or lesion of each image of another data set; the run's manifest has its own."""
    _write(file, ["path", "group"], zip(found.paths, found.groups, strict=True))


def _write(file: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with (
        whole_file(file) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as opened,
    ):
        csv.writer(opened).writerows([head, *rows])
