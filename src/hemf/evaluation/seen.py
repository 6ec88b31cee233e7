"""Which of some images a run was trained on, or what it learnt from: the record of it."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Self

EXAMPLES = 10


@dataclass
class Seen:
    """Which of some images a run was trained on.

    Args:
        data: ``name``, ``hash`` and ``files_hash`` of what the run was trained on.
        training: number of its training images; None where they are not known.
        same: path of each image that is a training image itself, by place or content, and that one's path.
        alike: path of each other one that shows the picture of a training image, and that one's path.
        groups: images whose patient or lesion it was trained on; None where that is unknown.
        strangers: number of images that are none of the run's own, by place or content.
        compared: how many of these were compared by what they show.
        unknown: what could not be checked, in sentences.
        how: what this was to the run where it is not the run itself, such as ``first weights``.
        learnt_from: the same of all that the run learnt from.
    """

    data: dict[str, Any]
    training: int | None
    same: dict[str, str] = field(default_factory=dict)
    alike: dict[str, str] = field(default_factory=dict)
    groups: int | None = None
    strangers: int = 0
    compared: int = 0
    unknown: list[str] = field(default_factory=list)
    how: str = ""
    learnt_from: tuple[Self, ...] = ()

    @property
    def all(self) -> Iterator[Self]:
        """The run, and all that it learnt from."""
        yield self
        yield from self.learnt_from

    @property
    def twins(self) -> dict[str, str]:
        """Path of each image that was trained on, by the run or before, and that of the training image."""
        found: dict[str, str] = {}
        for one in self.all:
            found = found | one.same | one.alike | found
        return found

    @property
    def doubts(self) -> list[str]:
        """What could not be checked, in sentences, of the run and of what it learnt from."""
        of = {"": ""} | {one.how: f" ({one.how}: {one.data['name']})" for one in self.learnt_from}
        return [f"{reason}{of[one.how]}" for one in self.all for reason in one.unknown]

    @property
    def number(self) -> int | None:
        """Images trained on, at least; None where none is known and not all could be checked."""
        return len(self.twins) or (None if self.doubts else 0)

    @property
    def examples(self) -> list[list[str]]:
        """The first pairs of an image and a training image of the run's own."""
        return [list(pair) for pair in [*(self.same | self.alike).items()][:EXAMPLES]]

    def to_json(self) -> dict[str, Any]:
        """Write it as it stands in ``metrics.json``."""
        about = self.data | {
            "images": self.training,
            "same_files": len(self.same),
            "same_pictures": len(self.alike),
            "strangers": self.strangers,
            "compared_by_picture": self.compared,
            "examples": self.examples,
            "unknown": self.unknown,
        }
        if self.how:
            return {"how": self.how} | about | {"images_of_its_groups": self.groups}
        return about | {"learnt_from": [one.to_json() for one in self.learnt_from]}

    def limited_to(self, paths: Set[str]) -> Self:
        """Return the same of these images alone."""
        return replace(
            self,
            same={here: there for here, there in self.same.items() if here in paths},
            alike={here: there for here, there in self.alike.items() if here in paths},
            learnt_from=tuple(one.limited_to(paths) for one in self.learnt_from),
        )


def seen_by_all(found: Sequence[Seen]) -> Seen:
    """Return what every run of an ensemble was trained on, so that none can be left to speak of it.

    What could not be checked for one of them is unknown of all; of a single run it is what was found.
    """
    first, *others = found
    for one in others:
        first = replace(
            first.limited_to(first.twins.keys() & one.twins.keys()),
            strangers=min(first.strangers, one.strangers),
            compared=min(first.compared, one.compared),
            unknown=list(dict.fromkeys([*first.unknown, *one.doubts])),
        )
    return first
