"""The command line as a user meets it: help, spelling, errors, exit codes."""

import json
import operator
import re
import subprocess
import sys
import time
from argparse import SUPPRESS
from dataclasses import fields

import pytest

from hemf import HemfError, cli
from hemf.bench import suite
from hemf.cli import app, verbs
from hemf.config.pretraining import UNUSED
from hemf.config.run_config import RunConfig
from hemf.config.spelling import flag, is_switch, spelled_out


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_documents_every_argument(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([*name.split(), "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert f"hemf {name}" in text
    for action in cli.build_parser(name)._actions:
        assert action.help, f"{action.dest} of hemf {name} has no help"


def test_help_of_bench_leaves_out_what_a_suite_refuses(capsys):
    assert set(verbs.VERBS["bench"].hides) == set(suite.FIXED)
    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    shown = re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, re.MULTILINE)
    assert {"--epochs", "--device", "--seeds"} <= set(shown)
    assert not {flag(name) for name in suite.FIXED} & set(shown)
    assert set(verbs.VERBS["pretrain"].hides) == set(UNUSED)


def test_train_takes_every_option_of_a_run():
    flags = {action.dest for action in cli.build_parser("train")._actions}
    assert {field.name for field in fields(RunConfig)} <= flags


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

    for module in (app, verbs):
        monkeypatch.setattr(module, "load_verb", record)
    return calls


def test_only_given_options_are_passed_on(called):
    assert cli.main(["train", "--data", "d", "--batch-size", "4", "--lr=1e-3", "--pretrained"]) == 0
    assert called == [("train", {"data": "d", "batch_size": 4, "lr": 1e-3, "pretrained": True})]


def test_a_yaml_file_gives_options_and_flags_override_it(called, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 3\nlr: 0.5\nimage_size: [64, 96]\n")
    assert cli.main(["train", "--config", str(file), "--lr", "0.1"]) == 0
    assert called == [("train", {"epochs": 3, "lr": 0.1, "image_size": (64, 96)})]


@pytest.mark.parametrize("words", [[], ["--trust", "false"], ["--no-trust"], ["--trust", "--no-trust"]])
def test_a_config_file_is_trusted_only_where_that_is_said_last(called, tmp_path, capsys, words):
    file = tmp_path / "theirs.yaml"
    file.write_text("cache: true\ncache_dir: /somewhere\npretrained: true\n")
    assert cli.main(["train", "--config", str(file), *words]) == 2
    assert "--trust" in capsys.readouterr().err
    assert cli.main(["train", "--config", str(file), *words, "--trust"]) == 0
    assert called[0][1]["trust"] is True


def test_several_images_are_positional(called):
    assert cli.main(["predict", "run", "a.png", "b c.png", "--out", "x.csv"]) == 0
    assert called == [("predict", {"run": "run", "images": ["a.png", "b c.png"], "out": "x.csv"})]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["trian", "hemf train"]),
        (["data", "prep"], ["data prep", "data prepare"]),
        (["train", "--learning-rate", "1"], ["--learning-rate", "--lr", "hemf train --help"]),
        (["train", "--epochs", "many"], ["epochs", "many"]),
        (["predict"], ["run"]),
        (["train", "--data", "no-such-folder"], ["no-such-folder"]),
        (["train", "--data", ".", "--recipe", "nope"], ["nope", "paper"]),
        (["evaluate", "no-such-run"], ["no-such-run"]),
        (["train", "--epoch", "3"], ["no flag --epoch ", "did you mean --epochs?"]),
        (["train", "--dev", "cuda"], ["no flag --dev ", "--device or --devices"]),
        (["predict", "run", "x.png", "--batch", "2"], ["no flag --batch ", "--batch-size"]),
        (["train", "--image-size", "wide"], ["--image-size is wide", "a whole number", "two whole numbers"]),
        (["train", "--image_size", "1,2,3"], ["--image-size is [1, 2, 3]", "two whole numbers"]),
        (["train", "--batch-size"], ["--batch-size needs a value", "a whole number"]),
        (["train", "--no-cache=true"], ["--no-cache takes no value", "--cache"]),
        (["train", "--cache=maybe"], ["--cache is maybe", "true or false"]),
        (["train", "--no-epochs"], ["no flag --no-epochs"]),
        (["train", "--val-split", "some"], ["--val-split is some", "val, test, none"]),
        (["train", "--data", ".", "--device", "gpu"], ["no device 'gpu' here", "cuda:1"]),
        (["predict", "run", "a.png", "--device", "gpu"], ["no device 'gpu' here", "cuda:1"]),
        (["profile", "hemf_tinny"], ["no model 'hemf_tinny'", "did you mean hemf_tiny"]),
        (["train", "--data", ".", "--device", "cpu", "--devices", "2"], ["--device names one", "--devices"]),
        (["calibrate", "run", "--sensitivity", "high"], ["--sensitivity is high", "a number", "{NAME: 0.9}"]),
        (["profile", "--precisions", "fp8"], ["--precisions is", "fp32, bf16, fp16"]),
        (["profile", f"hemf_{'long' * 1000}"], ["no model 'hemf_long", " [...] ", "see timm.list_models"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("hemf")
    for word in words:
        assert word in error
    assert not re.search(r"<class|typing|NoneType|Union|--[a-z]+_", error)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["--image-size", "32,48"], {"image_size": (32, 48)}),
        (["--image-size", "[32,48]"], {"image_size": (32, 48)}),
        (["--image-size=(32, 48)"], {"image_size": (32, 48)}),
        (["--image_size", "32x48"], {"image_size": (32, 48)}),
        (["--image-size", "64"], {"image_size": 64}),
        (["--crop-scale", "0.5,1"], {"crop_scale": (0.5, 1.0)}),
        (["--mean", "0.5"], {"mean": (0.5,)}),
        (["--std", "0.1,0.2,0.3"], {"std": (0.1, 0.2, 0.3)}),
        (["--pretrained"], {"pretrained": True}),
        (["--pretrained", "--cache"], {"pretrained": True, "cache": True}),
        (["--pretrained", "true"], {"pretrained": True}),
        (["--pretrained=false"], {"pretrained": False}),
        (["--no-pretrained", "--no_cache"], {"pretrained": False, "cache": False}),
        (["--compile", "False"], {"compile": False}),
        (["--model-args", "{img_size: 32}"], {"model_args": {"img_size": 32}}),
        (["--model-args.drop_path_rate", "0.1"], {"model_args": {"drop_path_rate": 0.1}}),
        (["--val_split", "none"], {"val_split": "none"}),
        (["--device", "cuda:1"], {"device": "cuda:1"}),
    ],
)
def test_values_are_read_as_people_write_them(called, written, read):
    assert cli.main(["train", *written]) == 0
    assert called == [("train", read)]


@pytest.mark.parametrize(
    ("verb", "written", "read"),
    [
        ("convert", ["x.pth", "--classes", "MEL,NV"], {"classes": ["MEL", "NV"]}),
        ("convert", ["x.pth", "--classes", "[0, yes, null]"], {"classes": ["0", "yes", "null"]}),
        ("convert", ["x.pth", "--classes", "['a, b', c]"], {"classes": ["a, b", "c"]}),
        ("calibrate", ["run", "--sensitivity", "0.9,0.95"], {"sensitivity": [0.9, 0.95]}),
        ("calibrate", ["run", "--sensitivity", "0.9"], {"sensitivity": 0.9}),
        ("calibrate", ["run", "--sensitivity", "null", "--apart"], {"sensitivity": None, "apart": True}),
        (
            "calibrate",
            ["run", "--sensitivity", "{MEL: 0.9, NV: 0.8}"],
            {"sensitivity": {"MEL": 0.9, "NV": 0.8}},
        ),
        ("profile", ["--batch-sizes", "1,32", "--speed"], {"batch_sizes": [1, 32], "speed": True}),
        ("profile", ["--precisions", "fp32,bf16"], {"precisions": ["fp32", "bf16"]}),
        ("data prepare", ["folder", "--no-check-counts"], {"check_counts": False}),
        ("data prepare", ["folder", "--check-counts"], {"check_counts": True}),
        ("explain", ["run", "--stages", "a.png"], {"stages": True, "images": ["a.png"]}),
    ],
)
def test_lists_and_switches_of_every_verb(called, verb, written, read):
    assert cli.main([*verb.split(), *written]) == 0
    assert called[0][1].items() >= read.items()


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_switch_works_bare_negated_and_with_a_value(name):
    parser = cli.build_parser(name)
    for action in filter(is_switch, parser._actions):
        switch = flag(action.dest)
        for words, value in (
            ([switch], "true"),
            ([f"--no-{switch[2:]}"], "false"),
            ([switch, "true"], "true"),
            ([f"{switch}=false"], "false"),
        ):
            assert spelled_out(parser, words) == [f"--{action.dest}={value}"]
        in_help = re.search(rf"{switch}, --no-{switch[2:]}\b", parser.format_help())
        assert bool(in_help) == (action.help != SUPPRESS)  # what a verb refuses is not in its help


@pytest.mark.parametrize("name", cli.VERBS)
def test_no_abbreviation_of_any_flag_is_taken(name):
    """Unless what is left is another flag, such as --fold of --folds."""
    parser = cli.build_parser(name)
    flags = {flag(action.dest) for action in parser._actions if action.option_strings}
    for one in flags:
        for short in {one[:length] for length in range(3, len(one))} - flags:
            with pytest.raises(HemfError, match=re.escape(f"no flag {short.rstrip('-')}")) as caught:
                spelled_out(parser, [short, "1"])
            assert "did you mean" in str(caught.value)


@pytest.mark.parametrize("words", [["--max-pixels", "1000"], ["--max-pixels=1000"], ["--max_pixels", "1000"]])
def test_the_limit_of_pixels_goes_with_any_verb_and_into_its_processes(called, words):
    from hemf.auditing.scan import Workers
    from hemf.data.image.limits import MAX_PIXELS, max_pixels, set_max_pixels

    try:
        assert cli.main([*words, "data", "info", "images"]) == 0
        assert max_pixels() == 1000
        set_max_pixels(MAX_PIXELS)
        assert cli.main(["data", "info", "images", *words]) == 0
        assert max_pixels() == 1000
        with Workers(1) as workers:
            assert list(workers.map(operator.call, [max_pixels], "asking")) == [1000]
    finally:
        set_max_pixels(MAX_PIXELS)
    assert called == [("data info", {"data": "images"})] * 2


@pytest.mark.parametrize("words", [["--max-pixels", "many"], ["--max-pixels"], ["--max-pixels", "0"]])
def test_a_limit_of_pixels_that_is_none_is_refused(capsys, words):
    assert cli.main(["data", "info", "images", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--max-pixels" in error


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
