"""Flags in one spelling wherever a person reads them: help, messages, docs; and help that reads well."""

import argparse
import ast
import re
from pathlib import Path

import pytest

import hemf
from hemf import cli
from hemf.cli import app
from hemf.config.spelling import flag, is_switch

PACKAGE, ROOT = Path(hemf.__file__).parent, Path(__file__).parents[2]
CSS = re.compile(r"var\(--[\w-]*|style=\"--[\w-]+")  # a style sheet's own properties
FLAG = re.compile(r"(?<![\w-])--[A-Za-z](?:[\w-]*\w)?")
NOT_OURS = {  # flags of other programs that our pages and messages name
    *("--nproc-per-node", "--raw", "--shm-size", "--logdir"),  # torchrun, gdcmconv, docker, tensorboard
    *("--error-unmatch", "--porcelain", "--no-deps"),  # git, pip
    *("--data-binary", "--from-literal"),  # curl, kubectl
    *(
        "--build",
        "--build-arg",
        "--cap-drop",
        "--cpus",
        "--memory",
        "--profile",
        "--read-only",
        "--rm",
    ),  # docker
    *("--security-opt", "--target", "--tmpfs", "--model-repository"),  # docker, Triton
    *(
        "--device-modules",
        "--model",
        "--img-size",
        "--input-size",
        "--num-classes",
        "--pretrained",
        "--data-dir",
        "--checkpoint",
    ),  # timm's scripts
    *("--sides", "--threads", "--rounds", "--forms", "--no-activations", "--clock"),  # benchmarks/*.py
}
OURS = {"--help", "--version", "--debug", "--max-pixels", "--print-completion"}


def flags_of(name: str) -> set[str]:
    """Every flag of a verb."""
    actions = [action for action in cli.build_parser(name)._actions if action.option_strings]
    return {flag(a.dest) for a in actions} | {flag(f"no_{a.dest}") for a in actions if is_switch(a)}


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every flag of every verb."""
    return OURS.union(*map(flags_of, cli.VERBS))


def unknown_flags(text: str, known: set[str]) -> list[str]:
    """Flags in a text that no verb has, among them all that are spelled with underscores."""
    text = CSS.sub("", text)
    return [found for found in FLAG.findall(text) if found not in known | NOT_OURS]


def texts_of(file: Path) -> list[tuple[int, str]]:
    """The strings of a source file with their lines; an f-string is joined, values left out."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append((node.lineno, node.value))
    return found


SOURCES = sorted(file for file in PACKAGE.rglob("*.py") if file.name not in ("spelling.py", "parser.py"))
PAGES = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
PAGES += [*PACKAGE.rglob("*.yaml"), *PACKAGE.rglob("*.j2")]


def test_the_check_sees_what_it_is_for(known):
    text = "give --image_size, --imagesize or --image-size; `--cache_dir`, --no-cache, a--b, ---"
    assert unknown_flags(text, known) == ["--image_size", "--imagesize", "--cache_dir"]


def test_every_flag_in_the_sources_is_one_of_a_verb(known):
    wrong = [
        f"{file.relative_to(PACKAGE)}:{line}: {found}"
        for file in SOURCES
        for line, text in texts_of(file)
        for found in unknown_flags(text, known)
    ]
    assert not wrong


def test_every_flag_in_the_docs_is_one_of_a_verb(known):
    wrong = [
        f"{file.relative_to(ROOT)}: {found}"
        for file in PAGES
        for found in unknown_flags(file.read_text(encoding="utf-8"), known)
    ]
    assert not wrong


def test_commands_in_the_docs_are_taken_by_their_verb():
    """Each `hemf VERB ...` line of a console block names only flags of that verb."""
    wrong = []
    for file in PAGES:
        for line in file.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            command = re.search(r"(?:^\s*\$|`|-m) ?hemf ([a-z].*?)(?:`|  #|\s#|$)", line)
            if command is None:
                continue
            name, _ = app._split_verb(command[1].split())
            if name in cli.VERBS:
                unknown = set(FLAG.findall(command[1])) - flags_of(name) - OURS
                wrong += [f"{file.name}: hemf {name} has no {found}" for found in unknown]
    assert not wrong


def test_messages_name_options_by_their_flags():
    """What is raised does not call an option ``image_size``."""
    options = {a.dest for name in cli.VERBS for a in cli.build_parser(name)._actions if "_" in a.dest}
    options -= {"num_classes", "crop_pct", "crop_mode"}  # of a constructor and of a model's config.json
    wrong = []
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise):
                texts = [c.value for c in ast.walk(node) if isinstance(c, ast.Constant)]
                for text in (t for t in texts if isinstance(t, str)):
                    wrong += [
                        f"{file.relative_to(PACKAGE)}:{node.lineno}: {option}"
                        for option in options
                        if re.search(rf"(?<![\w.{{-]){option}(?![\w.}}])", text)
                    ]
    assert not wrong


@pytest.mark.parametrize("name", cli.VERBS)
def test_help_reads_well(name):
    parser = cli.build_parser(name)
    for action in parser._actions:
        text = action.help
        if action.dest == "help" or text == argparse.SUPPRESS:
            continue
        assert text.endswith("."), f"{action.dest}: {text}"
        start = text.split()[0].lower()
        assert start not in ("of", "on", "in", "for", "from", "with", "by", "that", "which", "and"), text
        assert not text.startswith("the same"), text
    shown = parser.format_help()
    assert "`" not in shown
    assert "{true,false}" not in shown
    assert not re.search(r"\btyping\b|<class|NoneType|\bnull\)|ITEM", shown)
    assert not re.search(r"--\w+_", shown)


@pytest.mark.parametrize("summary", [verb.summary for verb in cli.VERBS.values()])
def test_summaries_begin_with_a_verb_and_end_without_a_stop(summary):
    assert summary[0].islower()
    assert not summary.endswith(".")
