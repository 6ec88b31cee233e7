"""Knows the images of a run again, its training images above all, by place and content."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hemf.data.fingerprints import is_file_of, sha256_of, take_fingerprints
from hemf.data.image.decode import ImageBytes

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet, Sample


class TrainingFiles:
    """A run's images, its training images above all, by place and content.

    Args:
        ours: the images.
        taking: whether to take the fingerprints that the run lacks.
    """

    def __init__(self, ours: "DataSet", taking: bool = True):
        self.ours, self.samples = ours, ours.subset("train")
        bare = [s for s in ours.samples if s.path not in ours.fingerprints]
        there = [s for s in bare if taking and ours.path(s).is_file()]
        self.prints = ours.fingerprints | (
            take_fingerprints(replace(ours, samples=there), seconds=0) if there else {}
        )
        paths = {s.path for s in self.samples}
        self.lost = [s.path for s in self.samples if s.path not in self.prints]
        self._places = {ours.path(s).resolve(): s.path for s in ours.samples}
        self._training = {self.prints[path].sha256: path for path in paths if path in self.prints}
        self._paths = paths
        self._contents = {one.sha256 for one in self.prints.values()}
        self._sizes = {one.bytes for one in self.prints.values()}

    def find(self, file: Path | ImageBytes) -> tuple[str | None, bool]:
        """Find the training image that ``file`` is, if any, and whether it is any image of the run."""
        if isinstance(file, ImageBytes):
            content = hashlib.sha256(file.data).hexdigest() if len(file.data) in self._sizes else None
            return self._training.get(content or ""), content in self._contents
        here = self._places.get(file.resolve())
        if here in self._paths:
            return here, True
        content = sha256_of(file) if file.stat().st_size in self._sizes else None
        if content is None:
            return None, here is not None
        return self._training.get(content), here is not None or content in self._contents

    def pictures(self, until: float) -> list["Sample"]:
        """Return the training images whose picture is known by its hashes, after taking those that can be."""
        missing = [s for s in self.samples if s.path in self.prints and not self.prints[s.path].picture]
        there = [s for s in missing if is_file_of(self.ours.path(s), self.prints[s.path])]
        if there:
            data = replace(self.ours, samples=there)
            self.prints = self.prints | take_fingerprints(data, until - time.monotonic())
        return [s for s in self.samples if s.path in self.prints and self.prints[s.path].picture]


class KnownFiles:
    """All that a model was trained on, by several lists of images: its run's, and of what that learnt from.

    Args:
        lists: the lists, with their fingerprints; none further is taken.
    """

    def __init__(self, lists: "Iterable[DataSet]"):
        self.lists = [TrainingFiles(one, taking=False) for one in lists]
        self.lost = sum(len(one.lost) for one in self.lists)

    def knows(self, file: Path | ImageBytes) -> bool:
        """Return whether the model was trained on a file, by place or content."""
        return any(one.find(file)[0] is not None for one in self.lists)
