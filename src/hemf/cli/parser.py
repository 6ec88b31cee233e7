"""A verb's flags, made from its function, and what ``hemf VERB --help`` shows of them."""

import inspect
import shutil
from argparse import SUPPRESS, Action
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

from docstring_parser import parse
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from hemf.config.run_config import RunConfig, run_parser
from hemf.config.spelling import alternatives, flag, is_switch, option_type, shown
from hemf.config.yaml_keys import use_text_keys


def build_parser(
    function: Callable[..., Any],
    prog: str,
    hides: Sequence[str] = (),
    options: type[RunConfig] = RunConfig,
) -> ArgumentParser:
    """Make the parser of one verb from its function's signature and docstring.

    Arguments without a default are positional, and so are lists of words that are not keyword-only; a
    function that takes ``**options`` takes those in ``options``. Help does not show those in ``hides``.
    """
    text = parse(inspect.getdoc(function))
    parameters = inspect.signature(function).parameters
    settings = {
        "prog": prog,
        "description": text.description,
        "formatter_class": Formatter,
        "print_config": None,
        "parser_mode": use_text_keys(),
    }
    lists = [p for p in parameters.values() if _is_word_list(p)]
    skip: set[str | int] = {p.name for p in lists}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        parser = run_parser(options, **settings)
        parser.add_argument("--config", action="config", help="YAML file of options, which flags override.")
        skip |= {p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD}
        skip |= set(options.__dataclass_fields__)
    else:
        parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, **settings)
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip=skip)
    defaults = {key: p.default for key, p in parameters.items() if key in skip - {p.name for p in lists}}
    parser.set_defaults(
        {key: value for key, value in defaults.items() if value is not inspect.Parameter.empty}
    )
    helps = {argument.arg_name: argument.description for argument in text.params}
    for words in lists:  # several words, not one word that holds a list; after the positional ones before
        required = words.default is words.empty
        nargs = "+" if required else "*"
        added = parser.add_argument(words.name, nargs=nargs, type=str, help=helps.get(words.name))
        assert added is not None, "only actions that add a group of arguments give none"
        added.required = required
    for action in parser._actions:
        if action.dest in hides:
            action.help = SUPPRESS
    return parser


class Formatter(DefaultHelpFormatter):
    """Help at most 100 columns wide, with defaults that tell something, and choices instead of types."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"width": min(100, shutil.get_terminal_size().columns)})

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """Add one line: the positional words in order, and that there are options."""
        words = [_usage_word(action) for action in actions if not action.option_strings]
        super().add_usage(" ".join(["%(prog)s", *words, "[options]"]), actions, groups, prefix)

    def add_text(self, text: str | None) -> None:
        """Add a paragraph without the marks of code, which are for the Python reference."""
        super().add_text(text and text.replace("`", ""))

    def _get_help_string(self, action: Action) -> str:
        text = (action.help or "").replace("`", "")
        if not action.option_strings or action.dest in ("help", "config"):
            return text
        if action.default in (None, "", {}) or action.default is False:
            return text
        default = "on" if action.default is True else shown(action.default)
        return f"{text} (default: {default})"

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        name = flag(action.option_strings[0])
        if is_switch(action):
            return f"{name}, --no-{name.removeprefix('--')}"
        return f"{name} {_value_word(action)}"


def _value_word(action: Action) -> str:
    """Return what stands for an option's value: its choices, or its name, repeated if it takes several."""
    kinds = alternatives(option_type(action))
    if choices := [str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]:
        return f"{{{','.join(choices)}}}"
    word = action.dest.upper()
    return f"{word},..." if kinds and all(get_origin(kind) in (list, tuple) for kind in kinds) else word


def _is_word_list(parameter: inspect.Parameter) -> bool:
    by_position = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    return by_position and parameter.annotation in (list[str], Sequence[str])


def _usage_word(action: Action) -> str:
    word = str(action.metavar or action.dest.upper()) + ("..." if action.nargs in ("+", "*") else "")
    return word if action.required else f"[{word}]"
