"""``hemf profile`` as a user meets it."""

import json

import pytest
import torch

from hemf import cli
from hemf.bench.conventions import operations_convention, params_convention
from hemf.bench.costs import Task, profile_models
from hemf.bench.published import MODELS, TABLE_3_PARAMS, TABLE_6
from hemf.bench.speed import Setting, machine, machine_line, measure_speed
from hemf.commands.profile import profile
from hemf.core.errors import HemfError

SMALL = ["--image-size", "64", "--batch-sizes", "2"]


def test_models_are_counted_and_written_in_every_format(tmp_path, capsys):
    assert cli.main(["profile", "hemf_nano", "resnet18", *SMALL, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    report = json.loads((tmp_path / "profile.json").read_text())
    nano, resnet = report["models"]
    assert (nano["model"], resnet["model"]) == ("hemf_nano", "resnet18")
    assert resnet["params"] == resnet["params_with_grad"] == 11_180_103
    assert nano["published"] is None
    for text in (shown, *((tmp_path / f"profile.{suffix}").read_text() for suffix in ("md", "tex"))):
        for word in ("Parameters", "Multiply-adds", "Training step", "resnet18", "11.18"):
            assert word in text


def test_a_published_model_stands_beside_the_papers_figures():
    report = profile(["pervit_medium"], batch_sizes=2)
    whole, cached = report["models"]
    assert whole["published"] == {
        "params_M": 43.04,
        "params_follow": "all, 7 classes",
        "multiply_adds_G": 9.0,
        "multiply_adds_follow": "thop, cached",
    }
    assert cached["variant"] == "cached"
    assert whole["multiply_adds_thop"] > 2 * cached["multiply_adds_thop"]


@pytest.mark.slow
def test_without_models_the_eleven_of_table_6_come_with_their_conventions(tmp_path):
    report = profile(out=str(tmp_path), batch_sizes=2)
    whole = {entry["model"]: entry for entry in report["models"] if entry["variant"] is None}
    assert tuple(whole) == MODELS
    assert {
        name: (e["published"]["params_M"], e["published"]["multiply_adds_G"]) for name, e in whole.items()
    } == TABLE_6
    follows = {
        name: (entry["published"]["params_follow"], entry["published"]["multiply_adds_follow"])
        for name, entry in whole.items()
    }
    assert follows == {
        "conformer_base_patch16": ("all, 1000 classes", "thop"),
        "convnext_base": ("all, 1000 classes", "thop or torch"),
        "pervit_medium": ("all, 7 classes", "thop, cached"),
        "focalnet_base_srf": ("all, 7 classes", "thop or torch"),
        "uniformer_base": ("none; nearest: all, 1000 classes (-0.5%)", "torch"),
        "biformer_base": ("all, 7 classes", "torch"),
        "hifuse_tiny": ("none", "thop or torch, depthwise"),
        "hifuse_small": ("none", "thop or torch, depthwise"),
        "hifuse_base": ("none; nearest: thop, 7 classes (+3.5%)", "thop or torch, depthwise"),
        "came": ("none", "none"),
        "hemf_base": ("thop, 7 classes", "thop"),
    }
    assert all(entry["params"] == entry["params_with_grad"] for entry in whole.values())


def test_the_blocks_have_the_parameters_of_table_3(tmp_path, capsys):
    assert cli.main(["profile", "--blocks", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "blocks.json").read_text())["blocks"]
    for name, printed in TABLE_3_PARAMS.items():
        counted = [row["params_M"] for row in rows if row["block"] == name]
        assert counted == pytest.approx(printed, abs=6e-4)
    assert rows[0]["torch_G"] == pytest.approx((3 + 9 + 4 + 4) * 96**2 * 56**2 / 1e9)
    assert "11.802" in capsys.readouterr().out
    assert "11.802" in (tmp_path / "blocks.tex").read_text()


def test_every_batch_size_and_precision_has_a_row():
    report = profile(["test_resnet"], image_size=(64, 32), batch_sizes=[2, 8], precisions=["fp32", "bf16"])
    steps = report["models"][0]["training_steps"]
    saved = {(step["batch_size"], step["precision"]): step["saved_bytes"] for step in steps}
    assert len(saved) == 4
    assert saved[8, "bf16"] < saved[8, "fp32"]
    assert saved[8, "fp32"] == pytest.approx(4 * saved[2, "fp32"], rel=0.02)


def test_speed_is_measured_and_names_the_machine(capsys):
    report = profile(["test_resnet"], image_size=32, batch_sizes=2, speed=True, rounds=1, device="cpu")
    step = report["models"][0]["training_steps"][0]
    assert step["images_per_second_inference"] > step["images_per_second_training"] > 0
    assert report["machine"]["torch"] == torch.__version__
    shown = " ".join(capsys.readouterr().out.split())
    assert f"torch {torch.__version__}" in shown
    assert "Measured on" in shown


def test_speed_is_the_median_over_interleaved_rounds(monkeypatch):
    """A machine that stalls in one round changes no result."""
    order, seconds = [], {"a": iter([9, 1, 50, 1]), "b": iter([9, 2, 2, 2])}

    def time_once(model, size, setting, device):
        order.append(model.name)
        one = next(seconds[model.name])
        return one, 2 * one

    monkeypatch.setattr("hemf.bench.speed._time_once", time_once)
    models = [torch.nn.Identity(), torch.nn.Identity()]
    models[0].name, models[1].name = "a", "b"
    setting = Setting(8, "fp32")
    speeds = measure_speed(models, (32, 32), [setting], torch.device("cpu"), rounds=3)
    assert order == list("abababab")
    assert speeds == {(0, setting): (8, 4), (1, setting): (4, 2)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hemf_bsae"], ["hemf_bsae", "hemf_base"]),
        (["hemf_nano", "--image-size", "50"], ["50", "--image-size"]),
        (["test_resnet", "--precisions", "fp16", "--device", "cpu"], ["fp16", "GPU"]),
        (["test_resnet", "--batch-sizes", "0"], ["--batch-sizes"]),
        (["--blocks", "--image-size", "100"], ["100", "32"]),
    ],
)
def test_bad_input_is_one_line(arguments, words, capsys):
    assert cli.main(["profile", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_a_gpu_that_is_not_there_is_said_so():
    with pytest.raises(HemfError, match="no device 'cuda' here"):
        profile_models(["hemf_nano"], Task(device="cuda"))


def test_conventions_say_all_that_fit_or_none():
    ways = {("thop", ""): 9.99, ("torch", ""): 10.02, ("thop", "depthwise"): 5.0}
    assert operations_convention(10.0, ways) == "thop or torch"
    assert operations_convention(5.01, ways) == "thop, depthwise"
    assert operations_convention(9.5, ways) == "none; nearest: thop (+5.2%)"
    assert operations_convention(50, ways) == "none"
    counts = {("all", "7 classes"): 66.678, ("thop", "7 classes"): 66.634}
    assert params_convention(66.64, counts) == "thop, 7 classes"
    assert params_convention(66.66, counts) == "all, 7 classes"


def test_a_machine_is_described_in_a_line():
    line = machine_line(machine(torch.device("cpu")))
    assert line.startswith("Measured on ")
    assert f"{torch.get_num_threads()} of " in line
