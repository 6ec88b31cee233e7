"""Spelling of options: dashes, switches, several values, and what is said about a bad one."""

import difflib
import json
import re
from argparse import Action
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser

from hemf.core.errors import HemfError
from hemf.core.text import one_line

TRUTH = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
ELSEWHERE = {  # what other programs call an option of ours
    "--learning-rate": "--lr",
    "--gpu": "--device",
    "--gpus": "--devices",
    "--num-workers": "--workers",
    "--output": "--out",
    "--img-size": "--image-size",
    "--imgsz": "--image-size",
    "--wd": "--weight-decay",
}
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
SEVERAL = {int: "whole numbers", float: "numbers", str: "texts"}


def flag(name: str) -> str:
    """Spell an option as a flag: ``--image-size`` for ``image_size``."""
    return "--" + name.lstrip("-").replace("_", "-")


def flags(names: Iterable[str]) -> str:
    """Spell several options as flags, with commas between them."""
    return ", ".join(map(flag, names))


def option_type(action: Action) -> Any:
    """Return the Python type of an option's values; None if it takes none, such as ``--help``."""
    return getattr(action, "_typehint", None)


def is_switch(action: Action) -> bool:
    """Return whether an option is a switch, on or off."""
    return option_type(action) is bool


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union other than None, or the type itself."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(kind for kind in kinds if kind is not NoneType)


def spelled_out(parser: ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Rewrite the words of a command line as the parser reads them.

    ``--image-size 32,48`` and ``--image-size 32x48`` become ``--image_size=[32,48]``, a bare ``--cache``
    ``--cache=true``, ``--no-cache`` ``--cache=false``.

    Raises:
        HemfError: there is no such flag; abbreviations are not accepted.
    """
    options = {written: action for action in parser._actions for written in action.option_strings}
    words, spelled = deque(arguments), []
    while words and words[0] != "--":
        word = words.popleft()
        if not word.startswith("--"):
            spelled.append(word)
            continue
        written, equals, value = word.partition("=")
        name, dot, key = ("--" + written[2:].replace("-", "_")).partition(".")
        positive = name.replace("--no_", "--", 1)
        if name not in options and positive in options and is_switch(options[positive]):
            if equals:
                raise HemfError(f"{written} takes no value; give {flag(positive)} or {flag(name)}")
            name, equals, value = positive, "=", "false"
        if name not in options:
            raise HemfError(f"{_no_such_flag(flag(name), options)}; see {parser.prog} --help")
        spelled.append(name + dot + key + _value(options[name], dot, equals, value, words))
    return [*spelled, *words]


def _value(action: Action, dot: str, equals: str, value: str, words: deque[str]) -> str:
    """Return ``=`` and an option's value, maybe taken from the next words; "" leaves these to the parser."""
    if is_switch(action):
        if not equals:
            value = words.popleft() if words and words[0].lower() in TRUTH else "true"
        return "=" + TRUTH.get(value.lower(), value)
    if not dot and any(get_origin(kind) in (list, tuple) for kind in alternatives(option_type(action))):
        if not equals and (not words or words[0].startswith("--")):
            return ""
        return "=" + listed(value if equals else words.popleft(), option_type(action))
    return equals + value


def listed(value: str, hint: Any) -> str:
    """Rewrite several values as the parser reads them, ``[32,48]``, from 32,48, 32x48 or (32, 48).

    Args:
        value: what the user wrote; one value stays one where the type allows that.
        hint: the option's type, with a list or a tuple in it.
    """
    kinds = alternatives(hint)
    element = next(get_args(kind)[0] for kind in kinds if get_origin(kind) in (list, tuple))
    inside = re.fullmatch(r"\s*[\[(](.*)[\])]\s*", value)
    if inside is None and dict in [get_origin(kind) for kind in kinds] and value.lstrip().startswith("{"):
        return value
    text = inside[1] if inside else value
    if element is int:
        text = re.sub(r"(?<=\d)\s*[xX×]\s*(?=\d)", ",", text)
    several = "," in text or inside or all(get_origin(kind) in (list, tuple) for kind in kinds)
    if not several or (text == "null" and NoneType in get_args(hint)):
        return text
    if element is str and '"' not in text and "'" not in text:  # for YAML, 0, yes and null are no text
        text = ",".join(json.dumps(one.strip(), ensure_ascii=False) for one in text.split(",") if one.strip())
    return f"[{text}]"


def _no_such_flag(wrong: str, options: Mapping[str, Action]) -> str:
    known = {flag(name): None for name in options if name.startswith("--") and not name.endswith("+")}
    near = sorted(one for one in known if one.startswith(wrong))
    near = near or [ours for theirs, ours in ELSEWHERE.items() if theirs == wrong and ours in known]
    near = near or difflib.get_close_matches(wrong, known, n=2, cutoff=0.7)
    return f"there is no flag {wrong}" + (f" (did you mean {' or '.join(near)}?)" if near else "")


def plain_error(error: ArgumentError, parser: ArgumentParser) -> str:
    """Say in one line what the parser complains of, in terms of flags instead of Python's types."""
    text = one_line(error)
    key = re.search(r'key "(\w+)"', text)
    value = re.search(r"(?:Got value|Given value): (.*)$", text)
    hints = {action.dest: option_type(action) for action in parser._actions}
    if key and value and hints.get(key[1]) is not None:
        return f"{flag(key[1])} is {value[1]}; give {expected(hints[key[1]])}"
    if missing := re.fullmatch(r"argument (--\w+)\S*: expected one argument", text):
        return f"{flag(missing[1])} needs a value: {expected(hints.get(missing[1][2:]) or str)}"
    if unknown := re.fullmatch(r"unrecognized arguments: (.*)", text):
        return f"no flag takes {unknown[1]!r} as its value"
    return re.sub(r"--\w+", lambda found: flag(found[0]), text)


def expected(hint: Any) -> str:
    """Describe in words what a value of this type looks like."""
    return " or ".join(map(_kind, alternatives(hint)))


def _kind(kind: Any) -> str:
    of, inside = get_origin(kind), get_args(kind)
    if of is Literal:
        return f"one of {', '.join(map(str, inside))}"
    if of in (list, tuple):
        if get_origin(inside[0]) is Literal:
            return f"several of {', '.join(map(str, get_args(inside[0])))}, with commas between"
        number = {2: "two "}.get(len(inside), "") if of is tuple and ... not in inside else ""
        return f"{number}{SEVERAL[inside[0]]} with a comma between"
    if of is dict:
        return "values by name, such as {NAME: 0.9}"
    return WORDS.get(kind, "another")


def shown(value: Any) -> str:
    """Write a value as one would type it after its flag."""
    if isinstance(value, list | tuple):
        return ",".join(map(shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
