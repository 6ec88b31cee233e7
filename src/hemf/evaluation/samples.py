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
from hemf.evaluation.folders import folder_name
from hemf.evaluation.seen import Seen, seen_by_all
from hemf.evaluation.seen_in_training import SECONDS, seen_before, seen_in_training
from hemf.inference.ensemble import Ensemble
from hemf.inference.load import TrainedModel
from hemf.inference.models import load_models
from hemf.runs.folder import OpenRun, OpenRuns, open_runs
from hemf.runs.lineage import ancestors_of
from hemf.runtime import ExportedModel

if TYPE_CHECKING:
    import numpy as np

    from hemf.config.options import TTA
    from hemf.data.dataset import DataSet, Sample
    from hemf.evaluation.external.class_map import ClassMap
    from hemf.runs.lineage import Ancestor

MOST_NAMED = 5  # classes that the model does not know, in one line


@dataclass(frozen=True)
class Subject:
    """A run and the images that its model is shown.

    Args:
        runs: the run, or the members of an ensemble.
        trained: its model, theirs as one, or an export.
        images: the data set of the samples.
        samples: the images of the split.
        split: its name.
        folder: where an evaluation on them belongs.
        own: whether they are the run's own, not those of another data set.
        seconds: the most that is spent on comparing pictures with those that the runs were trained on.
    """

    runs: OpenRuns
    trained: TrainedModel | Ensemble | ExportedModel
    images: "DataSet"
    samples: list["Sample"]
    split: str
    folder: Path
    own: bool
    seconds: float = SECONDS

    @cached_property
    def ours(self) -> "DataSet | None":
        """The images and split of the run, or of the cross-validation, even if their files are gone.

        Of several other runs they are the first's; None if only its model is at hand.
        """
        return self.runs.home.manifest

    @cached_property
    def theirs(self) -> "list[DataSet | None]":
        """The images and split of each run."""
        return [member.manifest for member in self.runs.members]

    @cached_property
    def learnt_from(self) -> "list[tuple[Ancestor, ...]]":
        """What each run learnt from."""
        return [() if one.path is None else ancestors_of(one.path) for one in self.runs.members]

    @cached_property
    def seen_by_each(self) -> list[Seen | None]:
        """Which of the samples each run was trained on; None where a run is not at hand."""
        return [
            None if ours is None else self._seen_by(ours, before)
            for ours, before in zip(self.theirs, self.learnt_from, strict=True)
        ]

    def _seen_by(self, ours: "DataSet", before: "Sequence[Ancestor]") -> Seen:
        seconds = self.seconds / len(self.theirs) / (2 if before else 1)
        found = seen_in_training(ours, self.images, self.samples, seconds)
        earlier = seen_before(before, self.images, self.samples, seconds)
        return replace(found, learnt_from=earlier)

    @property
    def seen(self) -> Seen | None:
        """Which of the samples every run was trained on; None where one is not at hand."""
        known = [one for one in self.seen_by_each if one is not None]
        return seen_by_all(known) if len(known) == len(self.theirs) else None

    @property
    def speaking(self) -> "np.ndarray | None":
        """Which members of an ensemble speak of which samples, N x members: those not trained on it.

        Where all were, all speak; None for a single model.
        """
        import numpy as np

        if len(self.theirs) == 1:
            return None
        twins = [one.twins if one else {} for one in self.seen_by_each]
        strange = np.array([[s.path not in of_run for of_run in twins] for s in self.samples])
        return strange | ~strange.any(1, keepdims=True)


def subject_of(
    run: str,
    split: str,
    data: str | None = None,
    fold: int | None = None,
    tta: "TTA | None" = None,
    seconds: float = SECONDS,
    class_map: "ClassMap | None" = None,
) -> Subject:
    """Open a run, or several as an ensemble, and the images that it is to be shown.

    Args:
        run: a run's folder, its model folder, a cross-validation's folder, or several of these.
        split: which images.
        data: another data set; None for the run's own.
        fold: fold to test on, of another data set in folds.
        tta: test-time augmentation; None for what the model's calibration was fitted under.
        seconds: the most that is spent on comparing pictures with those of the training.
        class_map: names of another data set's classes as the model knows them.

    Raises:
        HemfError: no such run, split or images, or classes that the model does not know.
    """
    runs, own = open_runs(run), data is None
    images, trained = images_of(runs.home, data, fold), load_models(runs, tta)
    if class_map is not None:
        images = class_map.applied(images, trained.classes)
    samples = samples_of(images, split, trained.classes)
    name = folder_name(split, None if own else images, fold)
    if isinstance(trained, Ensemble) and runs.folds is None:
        name += f"-ensemble-{trained.digest[:8]}"
    place = runs.home.model if runs.home.is_export else runs.home.path or runs.home.model
    folder = place / "evaluation" / name
    return Subject(runs, trained, images, samples, split, folder, own, seconds)


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
    ours = opened.manifest
    split = ours is not None and any(s.split for s in ours.samples)  # folds have none
    return replace(ours, root=images.root) if ours and split and _are_ours(images, ours) else images


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
            "leave the images out, with hemf evaluate --map FILE"
        )
    return samples
