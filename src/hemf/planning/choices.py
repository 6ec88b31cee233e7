"""What a plan has chosen and why: a table for people, and a recipe that repeats it."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from hemf.config.run_config import RunConfig
from hemf.config.spelling import flag, shown
from hemf.core.text import printable

OF_THE_CALL = ("data", "out", "name", "budget", "workers", "cache", "cache_dir", "accelerator", "devices")
"""Options that say where, how long and on what; they are no part of a recipe."""


@dataclass(frozen=True)
class Choice:
    """Some options that belong together.

    Args:
        name: what was chosen.
        options: the options with their values.
        reason: why, in words.
        named: which of the options the terminal shows; the recipe has all of them.
    """

    name: str
    options: Mapping[str, Any]
    reason: str
    named: Collection[str]

    @property
    def value(self) -> str:
        """Return the values in words."""
        return ", ".join(
            _word("" if _words(name) == self.name else name, self.options[name]) for name in self.named
        )


@dataclass
class Choices:
    """The options of a run while they are chosen; what was given stays.

    Args:
        config: the options so far.
        given: names of the options that were given.
        made: the choices, in their order.
    """

    config: RunConfig
    given: Collection[str]
    made: list[Choice] = field(default_factory=list)

    def choose(self, name: str, reason: str, named: Collection[str] = (), **options: Any) -> None:
        """Choose some options, but for those that were given.

        Args:
            name: what is chosen.
            reason: why.
            named: which of the options the terminal shows; by default all, and those that were given.
            options: the options with their values.
        """
        free = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}
        free = {name: value for name, value in free.items() if name not in self.given}
        self.config = replace(self.config, **free)
        fixed = [option for option in options if option not in free]
        if fixed and not free:
            reason = "given"
        elif fixed:
            reason += f"; given: {', '.join(map(flag, fixed))}"
        values = {option: getattr(self.config, option) for option in options}
        self.made = [one for one in self.made if one.name != name]
        seen = list(dict.fromkeys([*named, *fixed])) if named else list(options)
        self.made.append(Choice(name, values, reason, seen))

    def forget(self, *names: str) -> None:
        """Take choices back; their options have the defaults again."""
        options = {option for one in self.made if one.name in names for option in one.options}
        free = {option: getattr(RunConfig(), option) for option in options - set(self.given)}
        self.config = replace(self.config, **free)
        self.made = [one for one in self.made if one.name not in names]

    def lines(self) -> list[str]:
        """Return a line for each choice: what, its value, and why, in columns."""
        rows = [(one.name, one.value, one.reason) for one in self.made]
        wide = [max(len(row[i]) for row in rows) for i in (0, 1)]
        return [printable(f"  {name:{wide[0]}}  {value:{wide[1]}}  {reason}") for name, value, reason in rows]

    def recipe(self, about: str) -> str:
        """Return the YAML of a recipe with all that was chosen or given.

        Args:
            about: what it was made for, in a line.
        """
        parts, known = [f"# {printable(about)}\n"], set()
        for one in self.made:
            parts.append(f"# {printable(f'{one.name}: {one.reason}')}\n{_as_yaml(one.options)}")
            known |= one.options.keys()
        rest = [name for name in self.given if name not in known and name not in OF_THE_CALL]
        if rest:
            values = {name: getattr(self.config, name) for name in rest}
            parts.append(f"# given\n{_as_yaml(values)}")
        return "".join(parts)


def _as_yaml(options: Mapping[str, Any]) -> str:
    return "".join(f"{name}: {_value(value)}\n" for name, value in options.items())


def _value(value: Any) -> str:
    """Return a value as YAML on a line."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _word(name: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return f"{'' if value else 'no '}{_words(name)}"
    return shown(value) if isinstance(value, str) else f"{_words(name)} {shown(value)}".strip()
