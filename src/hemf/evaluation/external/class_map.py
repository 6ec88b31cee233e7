"""Classes of another place's images under the names that the model knows, as a file states it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hemf.core.errors import HemfError
from hemf.core.strict_csv import read_csv_table
from hemf.core.text import counted

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet

HEAD = ("class", "model_class")


@dataclass(frozen=True)
class ClassMap:
    """Which class of the model each class of the images is.

    Args:
        file: name of the file that states it.
        classes: the model's class by the images' class; empty where their images are left out.
    """

    file: str
    classes: dict[str, str]

    @classmethod
    def read(cls, path: str) -> Self:
        """Read a CSV with the columns ``class`` and ``model_class``; the second may be empty.

        Raises:
            HemfError: it is no such CSV, or names a class twice.
        """
        table = read_csv_table(path)
        head = tuple(name.strip().lower() for name in table.head)
        if set(head) != set(HEAD):
            have = ", ".join(head) or "none"
            raise HemfError(f"{path} needs the columns {' and '.join(HEAD)}; it has {have}")
        rows = [(row[head.index(HEAD[0])], row[head.index(HEAD[1])]) for row in table.rows]
        if twice := [name for name, n in Counter(name for name, _ in rows).items() if n > 1]:
            raise HemfError(f"{path} names class {twice[0]!r} twice; keep one row")
        return cls(Path(path).name, dict(rows))

    def applied(self, images: "DataSet", known: Sequence[str]) -> "DataSet":
        """Return the images under the model's classes, without those that are left out.

        A class that the file does not name keeps its own name. ``info["class_map"]`` says what was done.

        Args:
            images: the data set.
            known: the model's classes.

        Raises:
            HemfError: the file leads to a class that the model does not know, or no image is left.
        """
        if strange := [name for name in self.classes.values() if name and name not in known]:
            raise HemfError(
                f"{self.file} leads to {strange[0]!r}, which is no class of the model; its classes are "
                f"{', '.join(known)}"
            )
        counts = Counter(s.label for s in images.samples)
        samples = [
            replace(s, label=self.classes.get(s.label, s.label))
            for s in images.samples
            if self.classes.get(s.label, s.label)
        ]
        if not samples:
            raise HemfError(f"{self.file} leaves out every image of {images.name}; name a class of the model")
        about: dict[str, Any] = {
            "file": self.file,
            "mapped": {name: self.classes[name] for name in counts if self.classes.get(name)},
            "left_out": {name: n for name, n in counts.items() if not self.classes.get(name, name)},
            "unused": [name for name in self.classes if name not in counts],
        }
        own = [name for name in images.classes if name not in self.classes and name not in known]
        return replace(
            images, samples=samples, classes=[*known, *own], info=images.info | {"class_map": about}
        )


def mapping_lines(about: dict[str, Any]) -> list[str]:
    """Say in sentences what a class map has done: ``info["class_map"]`` of a data set."""
    pairs = ", ".join(f"{theirs} as {ours}" for theirs, ours in about["mapped"].items())
    lines = [f"Classes by {about['file']}: {pairs or 'none renamed'}."]
    if left := about["left_out"]:
        which = ", ".join(f"{name} ({counted(n, 'image')})" for name, n in left.items())
        lines.append(f"Left out by {about['file']}: {which}.")
    if about["unused"]:
        lines.append(f"Named in {about['file']}, but not in these images: {', '.join(about['unused'])}.")
    return lines
