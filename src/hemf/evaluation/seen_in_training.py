"""Finds the tested images that a run was trained on: the same files, or others with the same picture.

The run's fingerprints tell, wherever its images lie now. Where these are still in place, fine detail decides
whether two pictures are one, as in ``hemf data audit``; else their perceptual hashes alone, more strictly.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hemf.core.machine import usable_cores
from hemf.core.text import counted
from hemf.data.fingerprints import is_file_of
from hemf.data.training_files import KnownFiles, TrainingFiles
from hemf.evaluation.seen import Seen

if TYPE_CHECKING:
    from hemf.auditing.candidates import Candidate
    from hemf.data.dataset import DataSet, Sample
    from hemf.runs.lineage import Ancestor

SECONDS = 120.0  # the most that evaluate spends on pictures
PATIENCE = 600.0  # the most that calibrate does, whose result lasts
ALONE = (
    32  # bits of 256 in which pictures may differ that nothing but their hashes tells; docs/how-to/audit.md
)
LEAST_BITS = 64  # that are set, and that are not, in the hash of a picture that shows something
AT_ONCE = 64  # images between two looks at the clock


def seen_in_training(
    ours: "DataSet", images: "DataSet", samples: Sequence["Sample"], seconds: float = SECONDS
) -> Seen:
    """Return which of the samples the run with the manifest ``ours`` was trained on.

    Pictures are compared only of images that are none of the run's own: how alike its own sides are, the
    audit tells.

    Args:
        ours: the run's images, with their fingerprints; the files may be gone.
        images: the data set of the samples.
        samples: to be checked.
        seconds: after so many no further picture is compared, which ``unknown`` then says.
    """
    known = TrainingFiles(ours)
    about = {"name": ours.name, "hash": ours.hash, "files_hash": ours.files_hash}
    found, strangers = Seen(about, len(known.samples)), []
    namesakes = {s.path for s in known.samples} if images.hash == ours.hash else set()
    for s in samples:
        twin, own = known.find(images.path(s))
        if twin is None and s.path in namesakes.intersection(known.lost):
            twin = s.path  # the list of images is the same, and nothing but the name is left to go by
        if twin is not None:
            found.same[s.path] = twin
        elif not own:
            strangers.append(s)
    found.strangers = len(strangers)
    if known.lost and strangers:
        found.unknown.append(
            f"{len(known.lost)} of the {found.training} training images are gone, and the run keeps no "
            f"fingerprints of them (first {known.lost[0]})"
        )
    _compare(found, known, images, strangers, seconds)
    if doubtful := [s.path for s in strangers if s.path in namesakes and s.path not in found.alike]:
        found.unknown.append(
            f"{len(doubtful)} have the names of training images in the very same list, but other content "
            f"(first {doubtful[0]})"
        )
    return found


def seen_before(
    ancestors: Sequence["Ancestor"], images: "DataSet", samples: Sequence["Sample"], seconds: float
) -> tuple[Seen, ...]:
    """Return which of the samples each of the things that a run learnt from was trained on.

    Args:
        ancestors: what it learnt from.
        images: the data set of the samples.
        samples: to be checked.
        seconds: as for ``seen_in_training``, for all together.
    """
    found = []
    for one in ancestors:
        if one.data is None:
            found.append(Seen({"name": one.source}, None, how=one.how))
            continue
        seen = seen_in_training(one.data, images, samples, seconds / len(ancestors))
        trained = groups_of(one.data)
        known = bool(images.groups) and images.names_groups_of(one.data)
        number = sum(s.group in trained for s in samples) if known else None
        found.append(replace(seen, how=one.how, groups=number))
    return tuple(found)


def groups_of(ours: "DataSet") -> set[str]:
    """Return the patients or lesions that a run was trained on."""
    return {s.group for s in ours.subset("train") if s.group}


def trained_on_line(runs: Sequence[Sequence["DataSet"]], files: Sequence[Path]) -> str:
    """Return whether the run, or every one of several, was trained on these very files, in a line.

    They are known by place and content. Pictures are not compared, which would take longer than classifying
    them.

    Args:
        runs: the images of each run, with their fingerprints, and of all that it learnt from; empty where a
            run is not at hand.
        files: to be looked for.
    """
    these, who = f"these {counted(len(files), 'image')}", "the run" if len(runs) == 1 else "every run"
    if not all(runs):
        return f"whether the model was trained on any of {these} is not checked: its run is not at hand"
    known = [KnownFiles(one) for one in runs]
    found = [[one.knows(file) for one in known] for file in files if file.is_file()]
    if number := sum(map(all, found)):
        return f"warning: {who} was trained on {number} of {these}, or on copies, so it knows their classes"
    if lost := max(one.lost for one in known):
        return (
            f"whether {who} was trained on any of {these} is not checked: it keeps no fingerprints of "
            f"{counted(lost, 'training image')}"
        )
    if number := sum(map(any, found)):
        return f"{number} of {these} are predicted only by the runs that were not trained on them"
    return f"the run was trained on 0 of {these}, by the content of their files; pictures are not compared"


def _compare(
    found: Seen, known: TrainingFiles, images: "DataSet", strangers: Sequence["Sample"], seconds: float
) -> None:
    """Find the strangers that show the picture of a training image, as far as time allows."""
    if not strangers:
        return
    from hemf.auditing.candidates import near_between

    until = time.monotonic() + seconds
    trained = known.pictures(until)
    looks = list(_in_time(lambda s: _look(images.path(s)), strangers, until))
    seen = [(s, look) for s, look in zip(strangers, looks, strict=False) if look is not None]
    pairs, compared = [], True
    if trained and seen:
        hashes = np.stack([known.prints[s.path].hashes for s in trained])
        pairs = near_between(np.stack([look[0] for _, look in seen]), hashes)
        judged = _Judge(known, trained, seen)
        verdicts = list(_in_time(judged, pairs, until))
        compared = len(verdicts) == len(pairs)
        for pair, same in zip(pairs, verdicts, strict=False):
            if same:
                found.alike.setdefault(seen[pair.second][0].path, trained[pair.first].path)
    found.compared = len(seen) if compared and trained else 0
    within = f"within {seconds:.0f} s"
    if not compared:
        found.unknown.append(f"not all pictures that may be alike could be compared {within}")
    elif len(seen) < len(strangers):
        found.unknown.append(
            f"{counted(len(strangers) - len(seen), 'image')} could not be compared by picture {within}"
        )
    if lacking := len(known.samples) - len(known.lost) - len(trained):
        found.unknown.append(
            f"what {lacking} of the {found.training} training images show is not known, only their content"
        )


class _Judge:
    """Whether two images that are close by their hashes show the same picture; each pair once."""

    def __init__(
        self,
        known: TrainingFiles,
        trained: Sequence["Sample"],
        seen: Sequence[tuple["Sample", tuple[np.ndarray, np.ndarray]]],
    ):
        self.known, self.trained, self.seen = known, trained, seen
        self.done: set[int] = set()  # strangers that are decided already
        self.thumbnail = cache(self._thumbnail)

    def __call__(self, pair: "Candidate") -> bool:
        from hemf.auditing.similarity import least, similarity

        if pair.second in self.done:
            return False
        detail = self.thumbnail(pair.first)
        hashes, mine = self.seen[pair.second][1]
        if detail is None:
            same = pair.distance <= ALONE and _shows_something(hashes[0])
        else:
            same = similarity((detail, mine, pair.turn)) >= least(pair.turn)
        if same:
            self.done.add(pair.second)
        return same

    def _thumbnail(self, place: int) -> np.ndarray | None:
        """Return the training image's detail; None where the file is gone or another."""
        sample = self.trained[place]
        file = self.known.ours.path(sample)
        look = _look(file) if is_file_of(file, self.known.prints[sample.path]) else None
        return None if look is None else look[1]


def _shows_something(words: np.ndarray) -> bool:
    """Return whether about half of a hash's bits are set, as of every picture but a plain area."""
    bits = int(np.bitwise_count(words).sum())
    return LEAST_BITS <= bits <= 256 - LEAST_BITS


def _look(file: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Return hashes and thumbnail of an image; None where it cannot be read, which the caller reports."""
    from hemf.core.errors import UnreadableImage
    from hemf.data.image.hashes import image_hashes, small_grey, thumbnail
    from hemf.data.image.read import read_image

    try:
        small = small_grey(read_image(file))
    except UnreadableImage:
        return None
    return image_hashes(small), thumbnail(small)


def _in_time(what: Callable, items: Sequence, until: float) -> Iterator[Any]:
    """Yield ``what`` of each item in order by several threads, under a progress bar, until the time is up."""
    from rich.console import Console
    from rich.progress import Progress

    with (
        Progress(console=Console(stderr=True), transient=True) as bar,
        ThreadPoolExecutor(usable_cores()) as pool,
    ):
        task = bar.add_task("looking for training images", total=len(items))
        for first in range(0, len(items), AT_ONCE):
            if time.monotonic() > until:
                return
            chunk = items[first : first + AT_ONCE]
            yield from pool.map(what, chunk)
            bar.advance(task, len(chunk))
