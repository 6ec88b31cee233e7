"""The images that an evaluation or a calibration looks at, their labels, and what the model makes of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hemf.core.device import pick_device
from hemf.core.errors import HemfError
from hemf.core.precision import resolve_precision
from hemf.data.fingerprints import changed_files
from hemf.data.load import ALL_TEST
from hemf.data.manifest import read_data_set
from hemf.inference.stream import TrainedModel, stream_logits, watched
from hemf.runs.environment import environment

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet, Sample
    from hemf.runs.folder import OpenRun

NAMELESS = (None, "folder", "csv")
"""Sources that do not say whose patients they name."""
MOST_NAMED = 5  # classes that the model does not know, in one line


def images_of(opened: "OpenRun", data: str | None, fold: int | None) -> "DataSet":
    """The run's own images with its split, wherever they lie now, or those of another data set.

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
    """Whether images that came without a split are those of the run's manifest ``ours``, perhaps elsewhere.

    The names are not enough, for other data sets may number their images alike: a file must hold the same.
    """
    came_with_one = images.info.get("split", {}).get("method") != ALL_TEST
    lists = [sorted((s.path, s.label) for s in data.samples) for data in (images, ours)]
    if came_with_one or lists[0] != lists[1]:
        return False
    changed = changed_files(replace(ours, root=images.root))
    return changed is not None and len(changed) < len(images.samples)


def samples_of(images: "DataSet", split: str, classes: Sequence[str]) -> list["Sample"]:
    """The samples of a split.

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


def labels_of(samples: Sequence["Sample"], classes: Sequence[str]) -> np.ndarray:
    """Class index of each sample, N integers."""
    index = {name: k for k, name in enumerate(classes)}
    return np.array([index[s.label] for s in samples])


def manifest_of(opened: "OpenRun") -> "DataSet | None":
    """The run's images and split, though their files be gone; None where only its model is at hand."""

    return None if opened.path is None else read_data_set(opened.path)


def shows_trained_groups(
    ours: "DataSet | None", images: "DataSet", samples: Sequence["Sample"]
) -> int | None:
    """How many of the samples show a patient or lesion that the run with manifest ``ours`` was trained on.

    None where that cannot be known: no groups, only the model at hand, or data sets of different or nameless
    sources, where the same name may mean different patients.
    """
    if ours is None:
        return None
    source = images.info.get("source")
    same = images.hash == ours.hash or (source not in NAMELESS and source == ours.info.get("source"))
    # what was grouped by likeness has other names for the same patients
    merged = images.hash != ours.hash and "grouped_alike" in images.info | ours.info
    if not same or not images.groups or merged:
        return None
    trained = {s.group for s in ours.subset("train") if s.group}
    return sum(s.group in trained for s in samples)


def is_own(ours: "DataSet | None", images: "DataSet") -> bool:
    """Whether these are the images and the split of the manifest ``ours``, a run's."""
    return ours is not None and ours.hash == images.hash


def changed_since(ours: "DataSet | None", images: "DataSet", samples: Sequence["Sample"]) -> list[str] | None:
    """Paths of those of a run's own images that are not the files any more that it was trained and split on.

    Args:
        ours: the run's manifest.
        images: the data set of the samples.
        samples: to be checked.

    Returns:
        None where that cannot be known: other images, no run, or one that keeps no fingerprints of them.
    """
    if ours is None or not is_own(ours, images):
        return None
    return changed_files(replace(ours, root=images.root), samples)


def logits_of(
    trained: TrainedModel,
    images: "DataSet",
    samples: Sequence["Sample"],
    batch_size: int,
    workers: int | None,
    precision: str,
    device: str,
    words: str,
) -> tuple[Tensor, dict[str, Any]]:
    """N x K float32 logits, and with what they were computed; ``words`` stand before the progress bar.

    Raises:
        HemfError: an image cannot be read, which stops the whole, or an option is bad.
    """
    picked = pick_device(device)
    precision = resolve_precision(precision, picked.type)
    paths = [images.path(s) for s in samples]
    results = stream_logits(trained.model, paths, trained.spec, batch_size, workers, precision, picked)
    rows = []
    for _, logits, error in watched(results, len(paths), words):
        if error is not None:
            raise HemfError(error)
        rows.append(logits)
    used = {"batch_size": batch_size, "device": str(picked), "environment": environment(precision)}
    return torch.stack(rows), {"precision": precision} | used
