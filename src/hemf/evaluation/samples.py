"""What an evaluation or a calibration is about: a run's model, and the images that it is shown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hemf.core.errors import HemfError
from hemf.data.fingerprints import changed_files
from hemf.data.load import ALL_TEST
from hemf.data.manifest import read_data_set
from hemf.evaluation.folders import folder_name
from hemf.inference.load import TrainedModel, load_trained
from hemf.runs.folder import OpenRun, open_run

if TYPE_CHECKING:
    from hemf.config.options import TTA
    from hemf.data.dataset import DataSet, Sample

MOST_NAMED = 5  # classes that the model does not know, in one line


@dataclass(frozen=True)
class Subject:
    """A run and the images that its model is shown.

    Args:
        opened: the run.
        trained: its model.
        images: the data set of the samples.
        samples: the images of the split.
        split: its name.
        folder: where an evaluation on them belongs.
        own: whether they are the run's own, not those of another data set.
    """

    opened: OpenRun
    trained: TrainedModel
    images: "DataSet"
    samples: list["Sample"]
    split: str
    folder: Path
    own: bool

    @cached_property
    def ours(self) -> "DataSet | None":
        """The run's images and split, even if their files are gone; None if only its model is at hand."""
        return manifest_of(self.opened)


def subject_of(
    run: str, split: str, data: str | None = None, fold: int | None = None, tta: "TTA | None" = None
) -> Subject:
    """Open a run and the images that it is to be shown.

    Args:
        run: a run's folder, or its model folder.
        split: which images.
        data: another data set; None for the run's own.
        fold: fold to test on, of another data set in folds.
        tta: test-time augmentation; None for what the model's calibration was fitted under.

    Raises:
        HemfError: no such run, split or images, or classes that the model does not know.
    """
    opened, own = open_run(run), data is None
    images, trained = images_of(opened, data, fold), load_trained(opened.model, tta)
    samples = samples_of(images, split, trained.classes)
    name = folder_name(split, None if own else images, fold)
    folder = (opened.path or opened.model) / "evaluation" / name
    return Subject(opened, trained, images, samples, split, folder, own)


def images_of(opened: OpenRun, data: str | None, fold: int | None) -> "DataSet":
    """Return the run's own images with its split, wherever they lie now, or those of another data set.

    Args:
        opened: the run.
        data: another data set; None for the run's own.
        fold: fold to test on, of another data set in folds.

    Raises:
        HemfError: a fold of the run's own data, a model without its run, or images are missing.
    """
    from hemf.data.load import load_test_data

    if data is None:
        if fold is not None:
            raise HemfError("a run keeps the fold it was trained for; --fold goes with --data only")
        if opened.path is None:
            raise HemfError(f"{opened.model} is a model without its run; say on which images with --data")
        return opened.data
    images = load_test_data(data)
    if fold is not None:
        return images.for_fold(fold)
    ours = manifest_of(opened)
    return replace(ours, root=images.root) if ours is not None and _are_ours(images, ours) else images


def _are_ours(images: "DataSet", ours: "DataSet") -> bool:
    """Say whether images without a split are those of the run's manifest ``ours``, perhaps moved.

    The names are not enough, as other data sets may number their images alike: a file must hold the same.
    """
    came_with_one = images.info.get("split", {}).get("method") != ALL_TEST
    lists = [sorted((s.path, s.label) for s in data.samples) for data in (images, ours)]
    if came_with_one or lists[0] != lists[1]:
        return False
    changed = changed_files(replace(ours, root=images.root))
    return changed is not None and len(changed) < len(images.samples)


def samples_of(images: "DataSet", split: str, classes: Sequence[str]) -> list["Sample"]:
    """Return the samples of a split.

    Raises:
        HemfError: the split is empty, or has a class that is none of the model's ``classes``.
    """
    samples = images.subset(split)
    if not samples:
        counts = {side: sum(of_class.values()) for side, of_class in images.counts().items()}
        have = ", ".join(f"{side} ({n})" for side, n in counts.items() if side)
        raise HemfError(
            f"{images.name} has no {split} images; it has {have or 'no splits'}; "
            "give --split all for all of them"
        )
    if unknown := Counter(s.label for s in samples if s.label not in classes):
        which = ", ".join(f"{name!r} ({n})" for name, n in sorted(unknown.items())[:MOST_NAMED])
        which += f" and {len(unknown) - MOST_NAMED} more classes" if len(unknown) > MOST_NAMED else ""
        raise HemfError(
            f"{images.name} has images of {which}, which the model does not know (its classes are "
            f"{', '.join(classes)}); rename {'that class' if len(unknown) == 1 else 'those classes'} or "
            "leave the images out"
        )
    return samples


def manifest_of(opened: OpenRun) -> "DataSet | None":
    """Return the run's images and split, even if their files are gone; None if only its model is at hand."""
    return None if opened.path is None else read_data_set(opened.path)
