"""What a verb suggests to do next is a command that its parser takes and that fits the machine."""

import re
import shlex
from pathlib import Path

import pytest

import hemf
from hemf.cli.app import main
from hemf.cli.verbs import VERBS, build_parser
from hemf.config.spelling import spelled_out
from hemf.training import cross_validation

TRAIN = (
    "--recipe",
    "paper",
    "--model",
    "test_resnet",
    "--image-size",
    "32",
    "--epochs",
    "1",
    "--batch-size",
    "16",
    "--workers",
    "0",
)


def suggested(capsys: pytest.CaptureFixture) -> tuple[str, list[str]]:
    """Verb and further words of the one suggestion in what was printed."""
    *_, line = re.findall(r"next: (hemf .*)", capsys.readouterr().out)
    return typed(line)


def typed(line: str) -> tuple[str, list[str]]:
    """Verb and further words of a command, which the verb's parser takes."""
    words = shlex.split(line)[1:]
    verb = " ".join(words[:2]) if " ".join(words[:2]) in VERBS else words[0]
    words = words[len(verb.split()) :]
    parser = build_parser(verb)
    parser.parse_args(spelled_out(parser, words))
    return verb, words


def test_every_suggestion_can_be_typed(tmp_path: Path, capsys) -> None:
    demo, prepared, grouped = (str(tmp_path / name) for name in ("a demo", "it's prepared", "re grouped"))
    assert main(["data", "demo", "--out", demo, "--lesions", "8", "--size", "32"]) == 0
    assert suggested(capsys) == ("data info", [demo])
    source = ["csv", "--root", str(tmp_path / "a demo" / "manifest.csv"), "--out"]
    assert main(["data", "prepare", *source, prepared]) == 0
    found = [suggested(capsys)]
    assert main(["data", "prepare", *source, prepared + " too", "--split", "grouped-kfold"]) == 0
    found.append(suggested(capsys))
    assert "--folds" in found[-1][1]
    assert main(["data", "audit", demo, "--regroup", grouped, "--out", str(tmp_path / "audit")]) == 0
    found.append(suggested(capsys))
    for (verb, words), folder in zip(found, (prepared, prepared + " too", grouped), strict=True):
        assert verb == "train"
        assert words[words.index("--data") + 1] == folder


def test_cross_validation_leads_to_the_evaluation_of_all_folds(tmp_path: Path, capsys, monkeypatch) -> None:
    demo, runs = str(tmp_path / "demo"), str(tmp_path / "my runs")
    assert main(["data", "demo", "--out", demo, "--lesions", "8", "--size", "32"]) == 0
    begin = cross_validation.begin

    def stopped(config, *more, **others):
        if config.fold == 1:
            raise KeyboardInterrupt
        return begin(config, *more, **others)

    command = ["train", "--data", demo, *TRAIN, "--out", runs, "--name", "folds", "--folds", "2"]
    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "begin", stopped)
        assert main(command) == 130
    (line,) = re.findall(r"cross-validation goes on with: (hemf .*)", capsys.readouterr().out)
    assert typed(line) == ("train", ["--resume", f"{runs}/folds"])
    assert main(["evaluate", f"{runs}/folds"]) == 2
    line = capsys.readouterr().err.partition("continue the cross-validation with ")[2]
    assert typed(line) == ("train", ["--resume", f"{runs}/folds"])
    assert main(["train", "--resume", f"{runs}/folds"]) == 0
    assert suggested(capsys) == ("evaluate", [f"{runs}/folds"])
    assert main(["evaluate", f"{runs}/folds", "--workers", "0", "--resamples", "0"]) == 0
    assert suggested(capsys) == ("predict", [f"{runs}/folds", "IMAGES"])


COMMAND = re.compile(r"hemf (?:%s)(?= )[^\"\n]*" % "|".join(VERBS))  # noqa: UP031
WORDS = ("kind", "fold", "arguments")
"""What stands in braces that is no name from the user's disk."""


def test_names_in_suggested_commands_are_quoted() -> None:
    found = [
        (file.name, name)
        for file in sorted(Path(hemf.__file__).parent.rglob("*.py"))
        for line in COMMAND.findall(file.read_text(encoding="utf-8"))
        for name in re.findall(r"\{([^{}]+)\}", line)
    ]
    assert len(found) > 8
    assert [one for one in found if "shlex.quote" not in one[1] and one[1] not in WORDS] == []


def test_training_leads_to_evaluation_and_that_to_prediction(tmp_path: Path, capsys) -> None:
    demo, runs = str(tmp_path / "demo"), str(tmp_path / "my runs")
    assert main(["data", "demo", "--out", demo, "--lesions", "8", "--size", "32"]) == 0
    capsys.readouterr()
    assert main(["train", "--data", demo, *TRAIN, "--out", runs, "--name", "one"]) == 0
    assert suggested(capsys) == ("evaluate", [f"{runs}/one"])
    assert main(["train", "--resume", f"{runs}/one", "--epochs", "2"]) == 0
    assert suggested(capsys) == ("evaluate", [f"{runs}/one"])
    assert main(["evaluate", f"{runs}/one", "--workers", "0", "--resamples", "0"]) == 0
    assert suggested(capsys) == ("predict", [f"{runs}/one", "IMAGES"])
