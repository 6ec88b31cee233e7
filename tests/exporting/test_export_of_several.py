"""Ensembles and cross-validations become one export: the mean of their members, wherever it is used."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import hemf
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.data.manifest import write_data_set
from hemf.data.preprocessing import InputSpec
from hemf.exporting.make import Export
from hemf.models.hub import add_to_config, save_model
from hemf.runs.card import USE

INPUT = InputSpec((3, 32, 32), 1.0, "squash", "bilinear", (0.5,) * 3, (0.5,) * 3)
PLAIN = {"precision": "fp32", "device": "cpu"}


def save(folder: Path, seed: int, classes: str, spec: InputSpec = INPUT, tta: str = "none") -> None:
    """A model's folder: random weights, sure of itself, with a temperature fitted under ``tta``."""
    torch.manual_seed(seed)
    model = timm.create_model("test_resnet", num_classes=3)
    with torch.no_grad():
        model.get_classifier().weight.mul_(30)
    save_model(
        model,
        folder,
        architecture="test_resnet",
        model_args={},
        classes=list(classes),
        pretrained_cfg=spec.to_pretrained_cfg(),
    )
    fitted = {"n": 9, "split": "val", "tta": tta}
    calibration = {"temperature": 1.0 + seed, "conformal": None, "operating_points": [], "left_out": []}
    add_to_config(folder, "hemf", {"calibration": calibration | {"fitted_on": fitted}})


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation of two models under the views flip, whose classes stand in different orders."""
    tmp_path = tmp_path_factory.mktemp("several")
    rng, samples = np.random.default_rng(0), []
    for i in range(24):
        file = tmp_path / "images" / f"{i:02}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 44, 3), np.uint8)).save(file)
        samples.append(Sample(file.name, "abc"[i % 3], fold=i % 2))
    run, data = tmp_path / "runs" / "folds", DataSet("noise", list("abc"), samples, tmp_path / "images")
    config = RunConfig.of(image_size=32, model="test_resnet", data="images")
    for fold, classes in enumerate(("abc", "cab")):
        write_data_set(data.for_fold(fold), run / f"fold{fold}")
        config.save(run / f"fold{fold}" / "config.yaml")
        save(run / f"fold{fold}" / "model", fold, classes, tta="flip")
    write_data_set(data, run)
    config.save(run / "config.yaml")
    return run


@pytest.fixture(scope="module")
def made(folds: Path) -> Export:
    """Its export."""
    return hemf.export(str(folds), workers=0)


def rows(model: str | Path | list[Path], images: list[np.ndarray]) -> list[list[float]]:
    found = hemf.load(model, **PLAIN).predict(images)
    return [[one.probabilities[name] for name in "abc"] for one in found]


def test_a_cross_validation_is_one_export_under_its_views(folds: Path, made: Export):
    assert made.path == folds / "exports" / "onnx-fp32"
    assert (made.parity["split"], made.parity["n"]) == ("all", 24)
    assert 0 < made.parity["largest_difference"] < 1e-5
    noise = [np.random.default_rng(i).integers(0, 256, (32, 50, 3), np.uint8) for i in range(5)]
    members = [rows(folds / f"fold{i}", noise) for i in (0, 1)]
    assert np.abs(np.subtract(*members)).max() > 0.1
    assert np.allclose(rows(made.path, noise), np.mean(members, 0), atol=1e-5)
    config = json.loads((made.path / "config.json").read_text())
    assert config["export"]["tta"] == "flip"
    assert config["hemf"]["members"] == 2
    assert "calibration" not in config["hemf"]  # each member's own is in the network
    card = (made.path / "README.md").read_text()
    assert "2 runs, whose probabilities it averages" in card
    assert USE not in card


def test_its_evaluation_knows_that_its_members_were_trained_on_all_folds(made: Export):
    with pytest.raises(HemfError, match=r"no test images; it has train \(24\)"):
        hemf.evaluate(str(made.path), workers=0, resamples=0)
    found = hemf.evaluate(str(made.path), split="train", workers=0, resamples=0)
    assert found.report["images_trained_on"] == found.n == 24


@pytest.mark.slow
def test_the_ensembles_own_calibration_goes_along(folds: Path, tmp_path: Path):
    folds = shutil.copytree(folds, tmp_path / "folds", ignore=shutil.ignore_patterns("exports"))
    hemf.calibrate(str(folds), data=str(folds / "fold0"), split="test", coverage=0.6)
    calibration = json.loads((folds / "ensemble.json").read_text())["calibration"]
    made = hemf.export(str(folds), out=str(tmp_path / "out"), workers=0)
    assert json.loads((made.path / "config.json").read_text())["hemf"]["calibration"] == calibration
    noise = np.random.default_rng(3).integers(0, 256, (32, 50, 3), np.uint8)
    ours, theirs = (hemf.load(one, **PLAIN).predict([noise])[0] for one in (folds, made.path))
    assert ours.set is not None
    assert (theirs.label, theirs.set) == (ours.label, ours.set)
    assert [*theirs.probabilities.values()] == pytest.approx([*ours.probabilities.values()], abs=1e-5)


def test_several_runs_need_a_place_of_their_own_and_one_input(folds: Path, made: Export, tmp_path: Path):
    first, out = folds / "fold0", str(tmp_path / "out")
    with pytest.raises(HemfError, match=r"belongs to none of them; say where it goes with --out"):
        hemf.export(f"{first},{folds / 'fold1'}")
    with pytest.raises(HemfError, match=r"exports of one run, not of several"):
        hemf.export(f"{first},{folds / 'fold1'}", out=str(first / "exports" / "both"))
    with pytest.raises(HemfError, match=r"is an export, which speaks alone"):
        hemf.export(f"{made.path},{first}", out=out)
    save(tmp_path / "other", 1, "cab", replace(INPUT, input_size=(3, 48, 48)), tta="flip")
    with pytest.raises(HemfError, match=r"take images in 2 forms, and an export takes one"):
        hemf.export(f"{first},{tmp_path / 'other'}", out=out)
    one = hemf.export(f"{first},{folds / 'fold1'}", tta="none", out=out, workers=0)
    assert one.parity["split"] == "val"
    assert "Unknown: there are those of several runs." in (one.path / "README.md").read_text()
