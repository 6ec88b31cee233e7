"""What a run is asked to do: typed, flat, readable as YAML and as flags.

``RunConfig`` is the whole of it; its parents, in ``options``, only sort the options into groups.
"""

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Self, get_args, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from hemf.config.options import ABOVE_0, GROUPS, RANGES
from hemf.config.shelf import Shelf
from hemf.config.spelling import flag, plain_error, shown
from hemf.core.errors import HemfError
from hemf.core.files import write_text
from hemf.core.registry import suggestion
from hemf.core.untrusted import read_yaml

RECIPES = Shelf("recipe", "hemf.config.recipes")


@dataclass
class RunConfig(*reversed(GROUPS)):  # dataclasses take the fields of the last parent first
    """All options of a run."""

    groups: ClassVar[tuple[type, ...]] = GROUPS

    @classmethod
    def of(cls, recipe: str = "paper", device: str | None = None, **options: Any) -> Self:
        """Take the recipe's values, with ``options`` over them.

        Args:
            recipe: name of a recipe of the package, or path of a YAML file.
            device: the one device to train on, instead of an accelerator and devices; see ``one_device``.
            options: any field of ``RunConfig``.

        Raises:
            HemfError: no such recipe or device, or an option that does not exist.
        """
        return cls._checked(read_recipe(recipe) | options | ({} if device is None else one_device(device)))

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """Read the options in a run's ``config.yaml``, with ``options`` over them.

        Raises:
            HemfError: it cannot be read, or holds something that is not an option.
        """
        return cls._checked(_mapping(path) | options)

    @classmethod
    def _checked(cls, values: dict[str, Any]) -> Self:
        known = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                hint = suggestion(name, known, "see hemf train --help")
                raise HemfError(f"no option {name!r} in a run; {hint}")
        kinds = get_type_hints(cls)
        for name, value in values.items():
            if value is None and NoneType not in get_args(kinds[name]):  # which the parser lets pass
                raise HemfError(f"{flag(name)} has no value in a run; give one, or leave the option out")
        parser = run_parser(cls)
        try:
            checked = parser.parse_object(values)
        except ArgumentError as error:
            raise HemfError(f"bad option in a run: {plain_error(error, parser)}") from error
        config = cls(**{name: checked[name] for name in known})
        config.check()
        return config

    def check(self) -> None:
        """Check that numbers are within their bounds, and that ranges begin with the smaller number.

        Raises:
            HemfError: one is not.
        """
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if any(number is not None and not low <= number <= high for number in numbers):
                least = "above 0" if low == ABOVE_0 else f"at least {low}"
                bounds = least if high == math.inf else f"{least} and at most {high}"
                raise HemfError(f"{flag(name)} is {shown(value)}; give {bounds}")
        if self.budget is not None:
            seconds_of(self.budget)
        if self.probe and self.probe_first:
            raise HemfError("--probe is a probe alone, --probe-first goes on from one; give one of the two")
        for name in ("crop_scale", "crop_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise HemfError(f"{flag(name)} is {low:g},{high:g}; give the smaller number first")

    def save(self, path: str | Path) -> None:
        """Write every option as YAML, in the order and the groups of this file."""
        values = {
            name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()
        }
        write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))

    @property
    def input_size(self) -> tuple[int, int, int]:
        """Return channels, height and width of the model's input."""
        height, width = (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size
        return (self.in_chans, height, width)

    @property
    def seconds(self) -> float:
        """Return the budget in seconds; infinity where there is none."""
        return math.inf if self.budget is None else seconds_of(self.budget)

    @property
    def device(self) -> str:
        """The run's first device, as the verbs that use one call it; ``auto`` where it is left open."""
        if self.accelerator == "cpu":
            return "cpu"
        number = str(self.devices).partition(",")
        return f"cuda:{number[0]}" if number[1] and self.accelerator in ("cuda", "gpu") else "auto"


def seconds_of(budget: str) -> float:
    """Return the seconds of a time such as ``90s``, ``30m`` or ``1h30m``.

    Raises:
        HemfError: it is no such time, or none at all.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", budget)
    seconds = sum(float(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != budget or not seconds:
        raise HemfError(f"--budget is {budget}; give a time such as 90s, 30m or 1h30m")
    return seconds


def one_device(device: str) -> dict[str, Any]:
    """Translate a device, as the other verbs call it, into Lightning's accelerator and devices.

    Args:
        device: cpu, cuda, cuda:1 ..., mps; or auto, which leaves the choice to Lightning.

    Raises:
        HemfError: there is no such name of a device.
    """
    kind, colon, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (colon and not (kind == "cuda" and number.isdecimal())):
        raise HemfError(f"--device is {device}; give cpu, cuda, cuda:1 ..., mps or auto")
    return {"accelerator": kind, "devices": f"{number}," if colon else "auto" if kind == "auto" else 1}


def run_parser(options: type[RunConfig] = RunConfig, **kwargs: Any) -> ArgumentParser:
    """Make a parser whose flags are a run's options, in their groups; ``kwargs`` go to ``ArgumentParser``."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, **kwargs)
    for group in options.groups:
        parser.add_class_arguments(group)
    own = {f.name: f.default for f in dataclasses.fields(options)}
    parser.set_defaults({name: value for name, value in own.items() if value is not dataclasses.MISSING})
    return parser


def read_recipe(recipe: str) -> dict[str, Any]:
    """Read the options that a recipe sets.

    Raises:
        HemfError: there is no such recipe, or it is not a YAML mapping.
    """
    return _mapping(RECIPES.path(recipe))


def _mapping(path: str | Path) -> dict[str, Any]:
    values = read_yaml(path) or {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise HemfError(f"{path} holds no 'option: value' pairs; correct it")
    return values
