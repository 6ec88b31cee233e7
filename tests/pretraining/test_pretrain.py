"""``hemf pretrain`` from images to a network that ``hemf train`` begins with, and what it refuses."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import hemf
from hemf.core.errors import HemfError
from hemf.pretraining.registry import METHODS, Method
from hemf.runs.folder import Run
from hemf.runs.lineage import ancestors_of

TINY = {
    **{"model": "test_efficientnet", "image_size": 32, "epochs": 2, "batch_size": 8, "lr": 3e-3},
    **{"precision": "fp32", "device": "cpu", "workers": 0, "warmup_epochs": 0},
}
PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu", "resamples": 0}


@pytest.fixture
def pretrain(colours: Path, tmp_path: Path) -> Callable[..., Run]:
    def pretrain(**options) -> Run:
        options = TINY | {"data": str(colours), "out": str(tmp_path / "runs"), "name": "pre"} | options
        return hemf.pretrain(**options)

    return pretrain


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "model" / "model.safetensors")


def losses(run: Run) -> list[float]:
    with open(run.path / "metrics.csv", newline="") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("method", ["vicreg", "distill"])
def test_a_network_comes_out_that_training_begins_with(pretrain, train, colours, method, capsys):
    teacher = {"teacher": str(train(name="teacher", epochs=1).path)} if method == "distill" else {}
    run = pretrain(method=method, epochs=3, image_size=48, mean=(0.4,) * 3, **teacher)
    assert losses(run)[-1] < losses(run)[0]
    assert {"feature_rank", "feature_spread", "knn_balanced_accuracy"} <= run.best.keys()
    with Image.open(run.path / "neighbours.png") as sheet:
        assert sheet.info["Software"] == "hemf"
    said = capsys.readouterr().out
    assert "50 images without their labels; 40 of other sides of its split are not learnt from" in said
    assert f"pretrained without labels by {method}" in (run.path / "model" / "README.md").read_text()
    assert not [name for name in weights(run) if name.startswith(("classifier", "method"))]
    then = train(name="then", epochs=1, init=str(run.path), lr=0.0)
    learnt, begun = weights(run), weights(then)
    statistics = ("running_mean", "running_var", "num_batches_tracked")  # which training goes on with
    assert all(torch.equal(begun[n], value) for n, value in learnt.items() if not n.endswith(statistics))
    kept = hemf.RunConfig.load(then.path / "config.yaml")
    assert (kept.image_size, kept.mean) == (32, (0.4,) * 3)  # the size was given, the mean was not
    assert ancestors_of(then.path)[0].how == "pretraining"


def test_evaluate_counts_the_images_that_pretraining_met(pretrain, train, colours, tmp_path, capsys):
    hidden = tmp_path / "scans"
    for i, file in enumerate(sorted((colours / "test").rglob("*.png"))):
        hidden.mkdir(exist_ok=True)
        shutil.copy(file, hidden / f"{i}.png")
    run = pretrain(data=str(hidden), method="vicreg", epochs=1)
    assert "knn_accuracy" not in run.best
    then = train(name="then", epochs=1, init=str(run.path))
    said = " ".join(capsys.readouterr().out.split())
    assert "of the 20 test images 20 are files that pre, which the run learns from (pretraining)" in said
    report = hemf.evaluate(str(then.path), **PLAIN).report
    assert report["images_trained_on"] == 20
    clean = train(
        name="clean", epochs=1, init=str(pretrain(name="clean-pre", method="vicreg", epochs=1).path)
    )
    assert hemf.evaluate(str(clean.path), **PLAIN).report["images_trained_on"] == 0


class Collapsing(Method):
    """Makes all features the same."""

    views = 1

    def compare(self, *features: torch.Tensor) -> torch.Tensor:
        return (features[0] - 1).square().mean()


def test_collapse_is_said(pretrain, monkeypatch, capsys):
    monkeypatch.setitem(METHODS, "collapsing", Collapsing)
    pretrain(method="collapsing", epochs=12, lr=3e-2)
    assert capsys.readouterr().out.count("warning: the features have collapsed") == 1


def test_what_does_not_go_together_is_refused_in_a_line(pretrain, train):
    with pytest.raises(HemfError, match="--teacher lite0"):
        pretrain()
    with pytest.raises(HemfError, match="vicreg learns from no --teacher"):
        pretrain(method="vicreg", teacher=str(train(name="teacher", epochs=1).path))
    with pytest.raises(HemfError, match="--label-smoothing plays no part in pretraining"):
        pretrain(method="vicreg", label_smoothing=0.1)
    with pytest.raises(HemfError, match="did you mean vicreg"):
        pretrain(method="vicrag")
    with pytest.raises(HemfError, match="no images at"):
        pretrain(data="nowhere")


def test_a_pretraining_is_no_classifier_and_no_training(pretrain, train):
    run = pretrain(method="vicreg", epochs=1)
    for verb in (hemf.evaluate, hemf.calibrate, hemf.localise):
        with pytest.raises(HemfError, match="knows no classes; train it with hemf train --init"):
            verb(str(run.path))
    with pytest.raises(HemfError, match="pretrained network without classes"):
        hemf.load(str(shutil.copytree(run.path / "model", run.path.parent / "alone")))
    with pytest.raises(HemfError, match="made by hemf pretrain; continue it with hemf pretrain --resume"):
        hemf.train(resume=str(run.path))
    with pytest.raises(HemfError, match="made by hemf train"):
        hemf.pretrain(resume=str(train(epochs=1).path))
    with pytest.raises(HemfError, match="keeps its own --method"):
        hemf.pretrain(resume=str(run.path), method="distill")


def test_without_its_library_a_method_says_what_to_install(pretrain, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HemfError, match=r"pip install 'hemf\[pretrain\]'"):
        pretrain(method="vicreg")


@pytest.mark.real
def test_slices_of_covid_ct(real_data: Path, tmp_path: Path):
    """Twelve CT slices of each kind: HEMF learns to see them as another network does, and a probe follows."""
    root = real_data / "covid-ct" / "Images-processed"
    for kind in ("CT_COVID", "CT_NonCOVID"):
        for i, file in enumerate(sorted((root / kind).iterdir())[::25][:12]):
            place = tmp_path / "ct" / ("val" if i % 3 == 0 else "train") / kind / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    options = {**TINY, "model": "hemf_nano", "image_size": 64, "epochs": 1, "out": str(tmp_path)}
    run = hemf.pretrain(str(tmp_path / "ct"), teacher="lite0", name="pre", **options)
    assert 0 <= run.best["knn_accuracy"] <= 1
    probe = {"recipe": "paper", "probe": True, "workers": 0, "device": "cpu", "out": str(tmp_path)}
    found = hemf.train(str(tmp_path / "ct"), init=str(run.path), name="probe", **probe)
    assert 0 <= found.best["val_balanced_accuracy"] <= 1
