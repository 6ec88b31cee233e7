"""The command line: one verb is one public function, and its flags are that function's typed arguments.

The verb's module is imported only once the verb is known, so ``hemf --help`` answers at once.
"""

import os
import sys
from typing import Any

from hemf.cli.verbs import VERBS, Verb, build_parser, load_verb
from hemf.core.errors import HemfError
from hemf.core.registry import suggestion
from hemf.core.text import printable, shortened


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; the exit code is 0, 1 if a part failed, 2 for bad input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    name = ""
    try:
        name, rest = _split_verb(_with_limit_of_pixels(arguments))
        result = _run(name, rest) if name in VERBS else _without_verb(name, rest)
        return result if isinstance(result, int) else getattr(result, "exit_code", 0)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (HemfError, OSError) as error:
        if debug:
            raise
        print(f"{f'hemf {name}'.strip()}: error: {printable(shortened(str(error)))}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if debug or (error.name or "hemf").partition(".")[0] == "hemf":
            raise
        print(
            f"hemf {name}: error: this needs {error.name}, which is not installed; pip install hemf with "
            "all that it depends on",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        if debug:
            raise
        print(f"hemf {name}: interrupted", file=sys.stderr)
        return 130


def _with_limit_of_pixels(arguments: list[str]) -> list[str]:
    """Apply ``--max-pixels``, which any verb takes, and return the remaining words."""
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag.replace("_", "-") != "--max-pixels":
            continue
        rest = arguments[i + 1 :]
        value, rest = (value, rest) if equals else ("".join(rest[:1]), rest[1:])
        if not value.isdecimal():
            raise HemfError(f"--max-pixels is {value or 'without a value'}; give a whole number")
        from hemf.data.image.limits import set_max_pixels

        set_max_pixels(int(value))
        return [*arguments[:i], *rest]
    return arguments


def _split_verb(arguments: list[str]) -> tuple[str, list[str]]:
    """Split off the verb, one word or two (``data prepare``), from what follows it."""
    words = 2 if " ".join(arguments[:2]) in VERBS else 1
    return " ".join(arguments[:words]), arguments[words:]


def _without_verb(name: str, rest: list[str]) -> int:
    """Print help or version, or an error that names the nearest verb."""
    if name == "--version":
        from importlib.metadata import version

        print(f"hemf {version('hemf')}")
        return 0
    if name == "--print-completion" or name.startswith("--print-completion="):
        from hemf.cli.completion import completion_script

        shell = name.partition("=")[2] or " ".join(rest)
        print(completion_script(shell))
        return 0
    below = {verb: v for verb, v in VERBS.items() if verb.startswith(f"{name} ")}
    asked = name in ("-h", "--help") or rest[:1] in (["-h"], ["--help"])
    if name == "" or asked or (below and not rest):
        print(_help(below or VERBS), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    words = " ".join([name, *rest[:1]]) if below else name
    hint = suggestion(f"hemf {words}", [f"hemf {verb}" for verb in VERBS], "see hemf --help", most=1)
    print(f"hemf: error: there is no verb {words!r}; {hint}", file=sys.stderr)
    return 2


def _help(verbs: dict[str, Verb]) -> str:
    width = max(map(len, verbs))
    lines = [
        "usage: hemf VERB [options]",
        "",
        "Medical image classification that can be believed.",
        "",
        *(f"  {name:{width}}  {verb.summary}" for name, verb in verbs.items()),
        "",
        "hemf VERB --help    the options of a verb",
        "hemf --version      the version",
        "hemf --print-completion bash",
        "                    a script that completes verbs and flags; also for zsh, fish, tcsh, powershell",
        "--max-pixels N      with any verb: read images up to this size (default: 100000000)",
        "--debug             with any verb: show the whole traceback of an error",
    ]
    return "\n".join(lines)


def _run(name: str, arguments: list[str]) -> Any:
    """Parse the verb's arguments and call its function with those that were given."""
    from jsonargparse import ArgumentError

    from hemf.config.spelling import plain_error, spelled_out

    parser = build_parser(name)
    words = spelled_out(parser, arguments)
    _check_config_files(words)
    try:
        given = parser.parse_args(words, defaults=False)
    except ArgumentError as error:
        raise HemfError(f"{plain_error(error, parser)}; see hemf {name} --help") from error
    if isinstance(device := given.get("device"), str):
        from hemf.config.names import check_device

        check_device(device)
    return load_verb(name)(**{key: value for key, value in given.as_dict().items() if key != "config"})


def _check_config_files(words: list[str]) -> None:
    """Refuse a ``--config FILE`` that asks for what a file may not, unless given ``--trust``."""
    flags = [i for i, word in enumerate(words) if word.partition("=")[0] == "--config"]
    trust = [word for word in words if word.startswith("--trust=")][-1:]
    if flags and trust != ["--trust=true"]:
        from hemf.runs.consent import check_recipe

        for i in flags:
            check_recipe(words[i].partition("=")[2] or "".join(words[i + 1 : i + 2]), {})
