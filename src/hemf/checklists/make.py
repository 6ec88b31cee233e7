"""Fills a standard's check list in: what a run knows as answers, what only a person knows as questions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import yaml

from hemf.checklists import of_data, of_model, of_results  # noqa: F401  each registers its facts
from hemf.checklists.known import Known
from hemf.checklists.registry import FACTS
from hemf.core.errors import HemfError
from hemf.core.registry import suggestion


@dataclass(frozen=True)
class Item:
    """An item of a standard, filled in.

    Args:
        number: the standard's.
        section: where it stands in a paper.
        asks: what it asks for, in our words.
        answers: what the run knows; they help to answer, and may not be all that is asked.
    """

    number: str
    section: str
    asks: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Checklist:
    """A check list of a run.

    Args:
        standard: its name, title, citation, doi, and how its numbering is known.
        run: what the run is called.
        items: in the standard's order.
    """

    standard: dict[str, str]
    run: str
    items: tuple[Item, ...]

    @property
    def open(self) -> int:
        """Number of items of which the run knows nothing."""
        return sum(not item.answers for item in self.items)

    def to_json(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return {"standard": self.standard, "run": self.run, "items": [asdict(item) for item in self.items]}


def standards() -> list[str]:
    """Return the names of the standards: a new one is one file in ``standards``."""
    return sorted(
        file.name.removesuffix(".yaml")
        for file in files("hemf.checklists").joinpath("standards").iterdir()
        if file.name.endswith(".yaml")
    )


def read_standard(name: str) -> dict[str, Any]:
    """Return a standard's file.

    Raises:
        HemfError: there is none of that name.
    """
    if name not in standards():
        raise HemfError(f"no standard {name!r}; {suggestion(name, standards())}")
    return yaml.safe_load(
        files("hemf.checklists").joinpath(f"standards/{name}.yaml").read_text(encoding="utf-8")
    )


def make_checklist(known: Known, standard: str, run: str) -> Checklist:
    """Fill a standard's check list in.

    Args:
        known: what the run knows.
        standard: the name of its file.
        run: what the run is called.

    Raises:
        HemfError: there is no such standard, or a file of the run is damaged.
    """
    about = read_standard(standard)
    items = [
        Item(one["n"], one["section"], one["asks"], tuple(_answers(known, one["facts"])))
        for one in about.pop("items")
    ]
    return Checklist(about, run, tuple(items))


def _answers(known: Known, facts: Sequence[str]) -> list[str]:
    return [line for name in facts for line in FACTS.find(name)(known)]
