"""What ``hemf data prepare`` knows about each source; a new source is one file and one registration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.registry import Registry
from hemf.core.text import counted
from hemf.data.dataset import DataSet
from hemf.data.sources.download import Download


@dataclass(frozen=True)
class Source:
    """A kind of data set.

    Args:
        name: what the command line calls it.
        read: reads the folder (or file) that the user gives into a data set without split, or with its own.
        licence: terms of use as the publisher states them; empty for the user's own images.
        counts: published number of images of each class; empty where there is none.
        group: what a group is here, in the plural; empty if the release tells none.
        paper: ratios ``val`` and ``test`` of the published experiment, or ``folds``.
        downloads: files of the release, for ``--download``.
    """

    name: str
    read: Callable[[Path], DataSet]
    licence: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    group: str = ""
    paper: Mapping[str, float] | None = None
    downloads: tuple[Download, ...] = ()

    def check_counts(self, data: DataSet) -> None:
        """Compare the images of each class with the published numbers.

        Raises:
            HemfError: they differ.
        """
        found = dict.fromkeys(self.counts, 0) | _totals(data)
        wrong = [label for label in found if self.counts and found[label] != self.counts.get(label, 0)]
        if wrong:
            differ = ", ".join(f"{label} {found[label]} for {self.counts.get(label, 0)}" for label in wrong)
            raise HemfError(
                f"{data.root} is not the published {self.name}: found "
                f"{counted(len(data.samples), 'image')}, expected {sum(self.counts.values())} ({differ}); "
                "fetch it again, or give --no-check-counts"
            )


SOURCES: Registry[Source] = Registry("source")


def register(source: Source) -> Source:
    """Make a source known by its name."""
    return SOURCES.register(source.name)(source)


def _totals(data: DataSet) -> dict[str, int]:
    totals = dict.fromkeys(data.classes, 0)
    for s in data.samples:
        totals[s.label] += 1
    return totals
