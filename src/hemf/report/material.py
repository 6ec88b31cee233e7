"""What is known about an evaluation: its report, its files and those of its run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.core.text import counted
from hemf.core.untrusted import read_json
from hemf.figures.inline import inline
from hemf.pages.elements import Drawing
from hemf.report.worst_mistakes import Mistake

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hemf.inference.predictions import Predictions


@dataclass(frozen=True)
class Material:
    """What is known about an evaluation.

    Args:
        report: what ``metrics.json`` holds.
        folder: folder of the evaluation.
        run: folder of the run; None where it is not at hand.
        mistakes: the worst of them; None if they were not looked for.
        figures: the drawings, by the name of their file.
        predictions: what the model says of each image; None where that is not at hand.
    """

    report: Mapping[str, Any]
    folder: Path
    run: Path | None = None
    mistakes: Sequence[Mistake] | None = None
    figures: Mapping[str, "Figure"] = field(default_factory=dict)
    predictions: "Predictions | None" = None

    @cached_property
    def training(self) -> Mapping[str, Any]:
        """The environment that the run was trained in; empty if that is not known."""
        about = _read_json(self.run / "environment.json") if self.run else {}
        return {name: value for name, value in about.items() if _is_sound(name, value)}

    @cached_property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights became the model."""
        about = _read_json(self.run / "model" / "config.json") if self.run else {}
        return about.get("hemf", {}).get("epoch")

    @cached_property
    def localisation(self) -> Mapping[str, Any]:
        """What ``hemf localise`` found on these images; empty where it has not been run."""
        found = _read_json(self.folder / "localisation.json")
        return found if isinstance(found.get("inside_masks"), dict | None) else {}

    @property
    def images(self) -> str:
        """How many images there are, in words."""
        return counted(self.report["n"], "image", form=",")

    def drawing(self, name: str, alt: str, caption: str) -> list[Drawing]:
        """Return one of the figures as a part of the page; nothing where there is none of that name."""
        figure = self.figures.get(name)
        return [] if figure is None else [inline(figure, name, alt, caption)]


def _read_json(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def _is_sound(name: str, value: Any) -> bool:
    """Return whether an entry of a stranger's ``environment.json`` is of the type that hemf writes."""
    if name == "resumed":
        return isinstance(value, list) and all(isinstance(one, dict) for one in value)
    kinds = {"packages": dict, "command": str}
    return isinstance(value, kinds.get(name, object))
