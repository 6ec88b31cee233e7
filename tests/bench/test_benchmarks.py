"""The commands in benchmarks/, on models small enough to run here, and the guard of HEMF's speed."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from hemf.core.errors import HemfError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def command(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model_speed(monkeypatch):
    module, threads = command("model_speed"), torch.get_num_threads()
    monkeypatch.setattr(module, "BASELINE", "test_resnet")
    yield module
    torch.set_num_threads(threads)


def test_ratios_are_written_for_every_setting(model_speed, tmp_path):
    out = tmp_path / "speed.json"
    words = ["test_vit", "--sides", "160", "--rounds", "2", "--batch-size", "2"]
    model_speed.main([*words, "--out", str(out)])
    report = json.loads(out.read_text())
    settings = {(r["model"], r["form"], r["precision"], r["mode"]) for r in report["rows"]}
    assert len(settings) == len(report["rows"]) == 2 * 3 + 2 * 2  # precisions x forms; none fused in training
    assert all(r["ratio"] == 1 for r in report["rows"] if r["model"] == "test_resnet")
    assert {row["precision"] for row in report["activations"]} == {"fp32", "bf16"}
    assert report["machine"]["threads"] == torch.get_num_threads()


def test_a_ratio_is_the_median_over_the_rounds(model_speed):
    images = torch.zeros(1, 3, 64, 64)
    ours, theirs = (model_speed.Runner("test_resnet", "eager", images, "fp32", "inference") for _ in range(2))
    ours.seconds, theirs.seconds = [1.0, 2.0, 10.0], [2.0, 2.0, 10.0]
    assert ours.row(theirs, 64, None)["ratio"] == 1.0
    assert ours.row(theirs, 64, 1e12)["flops_of_matmul_rate"] > 0


@pytest.mark.parametrize(
    ("name", "words"), [("model_speed", ["--precisions", "tf32"]), ("model_speed", ["--precisions", "fp16"])]
)
def test_precisions_of_a_gpu_are_refused_on_a_cpu(name, words):
    with pytest.raises(HemfError, match="need a GPU"):
        command(name).parse(words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
@pytest.mark.parametrize("name", ["model_speed", "growth"])
def test_a_gpu_that_is_not_there_is_said_so(name):
    with pytest.raises(HemfError, match="no GPU"):
        command(name).parse(["--device", "cuda"])


def test_a_gpu_is_timed_on_the_wall(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    words = ["--device", "cuda", "--precisions", "fp32", "tf32", "fp16", "bf16"]
    assert command("model_speed").parse(words).clock == "wall"


def test_growth_is_measured_and_drawn(tmp_path):
    out = tmp_path / "growth.json"
    words = ["--sides", "32", "64", "--batches", "1", "2", "--masa-sides", "8", "16", "--rounds", "1"]
    command("growth").main(["--model", "hemf_nano", *words, "--out", str(out)])
    report = json.loads(out.read_text())
    assert [row["side"] for row in report["sides"]] == [32, 64]
    assert report["sides"][1]["kept_megabytes"] > 3 * report["sides"][0]["kept_megabytes"]
    assert out.with_suffix(".svg").stat().st_size > 1000


def test_the_exponent_is_the_power_of_the_side():
    assert command("growth").exponent([2, 4, 8], [8, 64, 512]) == pytest.approx(3)


@pytest.mark.slow
def test_hemf_has_not_lost_half_its_speed(tmp_path):
    """Against convnext_base in one run, by the processor's time; loose, for a noisy machine."""
    words = "hemf_base --rounds 3 --batch-size 2 --forms eager --modes inference --no-activations --out"
    threads = torch.get_num_threads()
    try:
        report = command("model_speed").main([*words.split(), str(tmp_path / "speed.json")])
    finally:
        torch.set_num_threads(threads)
    committed = json.loads((BENCHMARKS / "results" / "model-speed.json").read_text())
    for precision in ("fp32", "bf16"):
        now, then = (_ratio(one["rows"], precision) for one in (report, committed))
        assert now > then / 2, f"{precision}: {now:.2f} of convnext_base, {then:.2f} when it was measured"


def _ratio(rows: list[dict], precision: str) -> float:
    wanted = {"model": "hemf_base", "form": "eager", "side": 224, "precision": precision, "mode": "inference"}
    return next(row["ratio"] for row in rows if wanted.items() <= row.items())


def test_what_exports_is_compared_once_and_what_does_not_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    exportable, out = command("exportable"), tmp_path / "exportable.json"
    words = ["test_resnet", "--formats", "onnx", "--side", "64", "--out", str(out)]
    (row,) = exportable.main(words)["rows"]
    assert row["exports"]
    assert row["largest_difference"] < 1e-5 * max(1.0, row["largest_logit"])

    def refuses(*_):
        raise HemfError("no form of aten.roll in onnx")

    monkeypatch.setattr(exportable, "Exported", refuses)
    assert exportable.main(words)["rows"] == [row]  # it is there already
    again = exportable.main(["test_convnext", *words[1:]])["rows"]
    assert again[0] == row
    assert (again[1]["exports"], again[1]["why"]) == (False, "no form of aten.roll in onnx")
