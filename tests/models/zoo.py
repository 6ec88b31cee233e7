"""The golden numbers of the paper's rivals, for the tests of each of them."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from hemf.models.blocks.window import relative_position_index


def rule(folder: Path) -> ModuleType:
    """The module that gives every tensor its values from its name."""
    spec = importlib.util.spec_from_file_location("golden_rule", folder / "rule.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def golden_numbers(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f"{name}_golden.json").read_text())


def authors_names(folder: Path, name: str) -> dict[str, list[int]]:
    """Names and shapes of the authors' checkpoint."""
    return json.loads((folder / f"{name}_keys.json").read_text())


def shapes_alone(folder: Path, name: str) -> dict[str, Tensor]:
    """A checkpoint of the authors' names and shapes that takes no memory."""
    return {key: torch.empty(shape, device="meta") for key, shape in authors_names(folder, name).items()}


def authors_checkpoint(folder: Path, name: str) -> dict[str, Tensor]:
    """The checkpoint whose every tensor has the value that its name gives it."""
    empty = {
        key: torch.zeros(shape, dtype=torch.long if key.endswith("num_batches_tracked") else torch.float32)
        for key, shape in authors_names(folder, name).items()
    }
    return rule(folder).fill(empty)


def with_constants(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """An authors' checkpoint whose constant buffers hold what they hold in every real one."""
    index = relative_position_index(7)
    ends = "attn.relative_position_index"
    return {name: index if name.endswith(ends) else value for name, value in theirs.items()}


class Probe:
    """Collects outputs of modules, under the golden numbers' names."""

    def __init__(self) -> None:
        self.seen: dict[str, Tensor] = {}

    def watch(self, name: str, module: nn.Module, view: Callable[[Any], Tensor] = lambda out: out) -> None:
        def keep(_module: nn.Module, _inputs: Any, out: Any) -> None:
            self.seen[name] = view(out)

        module.register_forward_hook(keep)

    def errors(self, features: dict[str, dict[str, Any]]) -> dict[str, float]:
        """For each golden map, the largest error of its probes, mean and std, over its std."""
        return {name: self._error(self.seen[name].double(), wanted) for name, wanted in features.items()}

    def _error(self, out: Tensor, wanted: dict[str, Any]) -> float:
        assert list(out.shape) == wanted["shape"]
        found = torch.stack([out.mean(), out.std(), *out.reshape(-1)[wanted["probe_index"]]])
        expected = torch.tensor([wanted["mean"], wanted["std"], *wanted["probe"]], dtype=torch.float64)
        return ((found - expected).abs().max() / wanted["std"]).item()


def error(found: Tensor, expected: list) -> float:
    """Largest difference over the largest expected magnitude."""
    expected = torch.tensor(expected, dtype=torch.float64)
    return ((found.double() - expected).abs().max() / expected.abs().max()).item()
