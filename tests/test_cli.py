"""The command line as a user meets it: help, spelling, errors, exit codes."""

import json
import subprocess
import sys
import time

import pytest

from hemf import cli
from hemf.config import RunConfig


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_documents_every_argument(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([*name.split(), "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert f"hemf {name}" in text
    for action in cli.build_parser(name)._actions:
        assert action.help, f"{action.dest} of hemf {name} has no help"


def test_train_takes_every_option_of_a_run():
    flags = {action.dest for action in cli.build_parser("train")._actions}
    assert set(RunConfig.__dataclass_fields__) <= flags


@pytest.fixture
def called(monkeypatch):
    """Replace the verbs' functions' calls by a record of their arguments."""
    calls = []
    load = cli.load_verb

    def record(name):
        function = load(name)

        def recorder(**arguments):
            calls.append((name, arguments))

        recorder.__wrapped__ = function
        recorder.__doc__ = function.__doc__
        recorder.__signature__ = __import__("inspect").signature(function)
        return recorder

    monkeypatch.setattr(cli, "load_verb", record)
    return calls


def test_only_given_options_are_passed_on(called):
    assert cli.main(["train", "--data", "d", "--batch-size", "4", "--lr=1e-3", "--pretrained"]) == 0
    assert called == [("train", {"data": "d", "batch_size": 4, "lr": 1e-3, "pretrained": True})]


def test_a_yaml_file_gives_options_and_flags_override_it(called, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 3\nlr: 0.5\nimage_size: [64, 96]\n")
    assert cli.main(["train", "--config", str(file), "--lr", "0.1"]) == 0
    assert called == [("train", {"epochs": 3, "lr": 0.1, "image_size": (64, 96)})]


def test_several_images_are_positional(called):
    assert cli.main(["predict", "run", "a.png", "b c.png", "--out", "x.csv"]) == 0
    assert called == [("predict", {"run": "run", "images": ["a.png", "b c.png"], "out": "x.csv"})]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["trian", "hemf train"]),
        (["data", "prep"], ["data prep", "data prepare"]),
        (["train", "--learning-rate", "1"], ["learning_rate", "hemf train --help"]),
        (["train", "--epochs", "many"], ["epochs", "many"]),
        (["predict"], ["run"]),
        (["train", "--data", "no-such-folder"], ["no-such-folder"]),
        (["train", "--data", ".", "--recipe", "nope"], ["nope", "paper"]),
        (["evaluate", "no-such-run"], ["no-such-run"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("hemf")
    for word in words:
        assert word in error


def test_debug_shows_where_the_error_comes_from(capsys):
    with pytest.raises(ValueError, match="no-such-run"):
        cli.main(["--debug", "evaluate", "no-such-run"])


def test_help_answers_at_once_and_a_verbs_help_soon():
    """Half a second and two seconds are promised; a busy machine gets twice that before the test fails."""
    for arguments, seconds in ((["--help"], 1.0), (["train", "--help"], 4.0), (["bench", "--help"], 4.0)):
        start = time.perf_counter()
        command = [sys.executable, "-m", "hemf", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert time.perf_counter() - start < seconds
        assert "usage: hemf" in done.stdout


def test_help_imports_no_heavy_library():
    code = (
        "import sys, json\nfrom hemf import cli\n"
        "for name in cli.VERBS: cli.build_parser(name)\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "timm", "pytorch_lightning", "sklearn", "matplotlib", "pandas", "torchvision"}
    assert not heavy & set(json.loads(done.stdout))
