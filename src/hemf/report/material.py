"""What is known about an evaluation: its report, its files and those of its run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hemf.core.text import counted
from hemf.core.untrusted import read_json
from hemf.report.worst_mistakes import Mistake


@dataclass(frozen=True)
class Material:
    """What is known about an evaluation.

    Args:
        report: what ``metrics.json`` holds.
        folder: folder of the evaluation, with its figures.
        run: folder of the run; None where it is not at hand.
        mistakes: the worst of them; None if they were not looked for.
    """

    report: Mapping[str, Any]
    folder: Path
    run: Path | None = None
    mistakes: Sequence[Mistake] | None = None

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

    @property
    def images(self) -> str:
        """How many images there are, in words."""
        return counted(self.report["n"], "image")


def _read_json(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def _is_sound(name: str, value: Any) -> bool:
    """Return whether an entry of a stranger's ``environment.json`` is of the type that hemf writes."""
    if name == "resumed":
        return isinstance(value, list) and all(isinstance(one, dict) for one in value)
    kinds = {"packages": dict, "command": str}
    return isinstance(value, kinds.get(name, object))
