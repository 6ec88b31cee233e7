"""A verb's flags, made from its function: what ``hemf VERB --help`` shows and how its words are read."""

import inspect
import re
import shutil
from argparse import Action
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

from docstring_parser import parse
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from hemf.config import RunConfig, run_parser


def build_parser(function: Callable[..., Any], prog: str) -> ArgumentParser:
    """The parser of one verb, made from its function's signature and docstring.

    Arguments without a default are positional, and so are lists of words that are not keyword-only; a
    function that takes ``**options`` takes those of a run.
    """
    text = parse(inspect.getdoc(function))
    parameters = inspect.signature(function).parameters
    settings = {
        "prog": prog,
        "description": text.description,
        "formatter_class": Formatter,
        "print_config": None,
    }
    lists = [p for p in parameters.values() if _is_word_list(p)]
    skip = {p.name for p in lists}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        parser = run_parser(**settings)
        parser.add_argument("--config", action="config", help="YAML file of options, which flags override")
        skip |= {p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD}
        skip |= set(RunConfig.__dataclass_fields__)
    else:
        parser = ArgumentParser(exit_on_error=False, **settings)
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip=skip)
    defaults = {key: p.default for key, p in parameters.items() if key in skip - {p.name for p in lists}}
    parser.set_defaults(
        {key: value for key, value in defaults.items() if value is not inspect.Parameter.empty}
    )
    helps = {argument.arg_name: argument.description for argument in text.params}
    for words in lists:  # several words, not one word that holds a list; after the positional ones before
        required = words.default is words.empty
        nargs = "+" if required else "*"
        parser.add_argument(words.name, nargs=nargs, type=str, help=helps.get(words.name)).required = required
    return parser


def spelled_out(parser: ArgumentParser, arguments: list[str]) -> list[str]:
    """Flags with dashes as flags with underscores, and a bare switch as the switch set to true."""
    switches = {f"--{key}" for key, value in parser.get_defaults().as_dict().items() if value is False}
    spelled = []
    for i, argument in enumerate(arguments):
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            argument = flag.replace("-", "_").replace("__", "--", 1) + equals + value
            if argument in switches and arguments[i + 1 : i + 2] not in (["true"], ["false"]):
                argument += "=true"
        spelled.append(argument)
    return spelled


class Formatter(DefaultHelpFormatter):
    """As wide as the terminal up to 100 columns; defaults that tell something, choices instead of types."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"width": min(100, shutil.get_terminal_size().columns)})

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """A line: the words in their places, and that there are options."""
        words = [_usage_word(action) for action in actions if not action.option_strings]
        super().add_usage(" ".join(["%(prog)s", *words, "[options]"]), actions, groups, prefix)

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        if not action.option_strings or action.dest in ("help", "config") or action.default in (None, "", {}):
            return text
        return f"{text} (default: %(default)s)"

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        choices = _choices(getattr(action, "_typehint", None))
        if choices:
            return f"{{{','.join(map(str, choices))}}}"
        return super()._get_default_metavar_for_optional(action)

    def _format_action_invocation(self, action: Action) -> str:
        written = super()._format_action_invocation(action)
        return re.sub(r"--\w+", lambda flag: flag[0].replace("_", "-"), written)


def _choices(hint: Any) -> tuple:
    """The words of a ``Literal``, also of an optional one."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    found = [_choices(part) for part in get_args(hint) if get_origin(part) is Literal]
    return found[0] if found and set(get_args(hint)) - {type(None)} == {Literal[found[0]]} else ()


def _is_word_list(parameter: inspect.Parameter) -> bool:
    by_position = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    return by_position and parameter.annotation in (list[str], Sequence[str])


def _usage_word(action: Action) -> str:
    word = (action.metavar or action.dest.upper()) + ("..." if action.nargs in ("+", "*") else "")
    return word if action.required else f"[{word}]"
