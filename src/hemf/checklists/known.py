"""What a run knows of itself: its files, read when they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hemf.config.run_config import RunConfig
from hemf.core.untrusted import read_json
from hemf.data.dataset import DataSet
from hemf.data.manifest import read_data_set
from hemf.runs.folder import OpenRun


@dataclass(frozen=True)
class Known:
    """A run.

    Args:
        opened: where it is.
        split: the side of its data whose evaluation counts.
    """

    opened: OpenRun
    split: str = "test"

    @property
    def path(self) -> Path:
        """Its folder."""
        assert self.opened.path is not None, "a model alone has no check list"
        return self.opened.path

    @cached_property
    def config(self) -> RunConfig:
        """Its options."""
        return self.opened.config

    @cached_property
    def data(self) -> DataSet:
        """Its images, even where their files are gone."""
        return read_data_set(self.path)

    @cached_property
    def model(self) -> Mapping[str, Any]:
        """The model's ``config.json``."""
        return read_json(self.opened.model / "config.json")

    @property
    def own(self) -> Mapping[str, Any]:
        """What hemf keeps in it."""
        return self.model.get("hemf") or {}

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Versions and hardware of the training."""
        return self._json(self.path / "environment.json")

    @cached_property
    def measured(self) -> Mapping[str, Any]:
        """What ``hemf evaluate`` found; empty where it has not."""
        return self.found("metrics.json")

    def found(self, name: str) -> Mapping[str, Any]:
        """Return a JSON file of the evaluation; empty where there is none."""
        return self._json(self.path / "evaluation" / self.split / name)

    @property
    def external(self) -> list[Mapping[str, Any]]:
        """Evaluations on other data sets."""
        files = sorted((self.path / "evaluation").glob("*/metrics.json"))
        found = [self._json(file) for file in files]
        return [one for one in found if one.get("data", {}).get("own") is False]

    @staticmethod
    def _json(file: Path) -> Mapping[str, Any]:
        return read_json(file) if file.is_file() else {}
