"""Completion of verbs, flags and values in a shell: one script, made by shtab from the verbs' own parsers.

A script, because a shell that asked Python at every press of the key would wait for its imports.
"""

import argparse
import re
from typing import Any, Literal, get_args, get_origin

import shtab

from hemf.cli.verbs import VERBS, build_parser
from hemf.config.names import ACCELERATORS, hemf_models, loss_names, method_names
from hemf.config.run_config import RECIPES
from hemf.config.spelling import alternatives, flag, is_switch, option_type
from hemf.core.errors import HemfError

FILES = (
    "folder",
    "data",
    "out",
    "root",
    "resume",
    "config",
    "masks",
    "cache_dir",
    "run",
    "runs",
    "images",
    "checkpoint",
)
PERCENT = re.compile(r"%(?![(%])")
"""A percent sign that is one, where argparse expects what it would put a value for."""


def completion_script(shell: str) -> str:
    """Return the script that a shell reads so that the tab key completes ``hemf``.

    Args:
        shell: bash, zsh, fish, tcsh or powershell.

    Raises:
        HemfError: another shell.
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        raise HemfError(f"no completion for shell {shell!r}; give one of {', '.join(shtab.SUPPORTED_SHELLS)}")
    return shtab.complete(_all_verbs(), shell)


def _all_verbs() -> argparse.ArgumentParser:
    """Make one plain parser with all verbs below it, which is what shtab reads."""
    parser = argparse.ArgumentParser(prog="hemf")
    parser.add_argument("--version", action="store_true", help="the version")
    parser.add_argument("--max-pixels", help="read images up to this size")
    parser.add_argument("--print-completion", choices=shtab.SUPPORTED_SHELLS, help="a script for your shell")
    below = {"": parser.add_subparsers()}
    choices = _choices()
    for name, verb in VERBS.items():
        first, _, last = name.rpartition(" ")
        if first not in below:
            below[first] = below[""].add_parser(first, help=f"verbs of {first}").add_subparsers()
        target = below[first].add_parser(last, help=verb.summary)
        for action in build_parser(name)._actions:
            if action.dest != "help":
                _add(target, action, choices)
    return parser


def _add(target: argparse.ArgumentParser, action: argparse.Action, choices: dict[str, list[str]]) -> None:
    """Add an option or a word to the plain parser."""
    words = PERCENT.sub("%%", action.help or "")
    if is_switch(action):
        for switch in (flag(action.dest), flag(f"no_{action.dest}")):
            target.add_argument(switch, action="store_true", help=words)
        return
    literal = [word for kind in alternatives(option_type(action)) for word in _words(kind)]
    names = [flag(action.option_strings[0])] if action.option_strings else [action.dest]
    nargs: dict[str, Any] = {} if action.option_strings else {"nargs": action.nargs}
    added = target.add_argument(*names, help=words, choices=literal or choices.get(action.dest), **nargs)
    if action.dest in FILES:
        added.complete = shtab.FILE  # pyright: ignore[reportAttributeAccessIssue]  # shtab's way to say it


def _words(kind: object) -> list[str]:
    """Return the words of a choice, or of a list of choices."""
    inside = get_args(kind)
    if get_origin(kind) is Literal:
        return list(map(str, inside))
    return [word for one in inside for word in _words(one)] if get_origin(kind) is list else []


def _choices() -> dict[str, list[str]]:
    """Return the known values of options whose types do not list them; others may be given too."""
    from hemf.bench.suite import SUITES
    from hemf.data.sources import SOURCES
    from hemf.tasks import TASKS

    return {
        "source": [*SOURCES, "folder", "csv"],
        "suite": SUITES.names(),
        "recipe": ["auto", *RECIPES.names()],
        "model": sorted(hemf_models()),
        "models": sorted(hemf_models()),
        "task": list(TASKS),
        "monitor": list(dict.fromkeys(name for task in TASKS.values() for name in task.monitored)),
        "loss": sorted(loss_names()),
        "method": sorted(method_names()),
        "accelerator": list(ACCELERATORS),
        "device": ["auto", "cpu", "cuda", "mps"],
        "split": ["train", "val", "test", "all"],
    }
