"""``hemf.evaluate`` on a cross-validation: pooled predictions, the measures of each fold, refusals."""

import csv
import json
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import hemf
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.data.manifest import read_data_set, write_data_set
from hemf.data.splits import split_data
from hemf.data.transforms import InputSpec
from hemf.metrics.classification import classification_metrics
from hemf.models.hub import add_to_config, save_model

PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu"}


@pytest.fixture
def folds_run(tmp_path: Path) -> Path:
    """A cross-validation of three untrained models on 24 images of noise of 12 patients."""
    rng, samples = np.random.default_rng(0), []
    for i in range(24):
        file = tmp_path / "images" / f"{i:02}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(file)
        samples.append(Sample(file.name, "ab"[i // 2 % 2], f"p{i // 2}"))
    data = DataSet("noise", list("ab"), samples, tmp_path / "images")
    data = split_data(data, "grouped-kfold", folds=3)
    run, config = tmp_path / "runs" / "cv", RunConfig.of(image_size=32, model="test_resnet", data="images")
    write_data_set(data, run)
    config.save(run / "config.yaml")
    for fold in data.folds:
        here = run / f"fold{fold}"
        write_data_set(data.for_fold(fold), here)
        config.save(here / "config.yaml")
        torch.manual_seed(fold)
        save_model(
            timm.create_model("test_resnet", num_classes=2),
            here / "model",
            architecture="test_resnet",
            model_args={},
            classes=data.classes,
            pretrained_cfg=InputSpec.from_config(config).to_pretrained_cfg(),
        )
    return run


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "predictions.csv", encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_each_image_is_predicted_by_the_model_that_left_it_out(folds_run: Path, capsys) -> None:
    found = hemf.evaluate(str(folds_run), **PLAIN)
    data = read_data_set(folds_run)
    assert found.folder == folds_run / "evaluation" / "test"
    rows = rows_of(found.folder)
    assert list(rows) == [s.path for s in data.samples]
    for s in data.samples:
        of_fold = rows_of(folds_run / f"fold{s.fold}" / "evaluation" / "test")
        assert rows[s.path] == of_fold[s.path]
    probabilities = np.array([[float(row[c]) for c in "ab"] for row in rows.values()])
    labels = np.array(["ab".index(row["label"]) for row in rows.values()])
    again = classification_metrics(labels, probabilities, ["a", "b"])
    assert found.report["confusion_matrix"] == again["confusion_matrix"]
    for name, measure in again["metrics"].items():
        assert found.metrics[name]["value"] == measure["value"]
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("noise, split test: 24 images; split method: grouped-kfold") == 1
    assert "mean ± std" in said
    assert said.endswith(f"next: hemf predict {folds_run / 'fold0'} IMAGES")
    assert found.report["intervals"]["unit"] == "group"
    assert found.report["intervals"]["groups"] == 12
    assert found.report["groups_on_two_sides"] == found.report["images_trained_on"] == 0


def test_measures_of_each_fold_and_their_spread(folds_run: Path) -> None:
    report = hemf.evaluate(str(folds_run), **PLAIN).report
    assert report == json.loads((folds_run / "evaluation" / "test" / "metrics.json").read_text())
    assert [one["fold"] for one in report["folds"]] == [0, 1, 2]
    assert sum(one["n"] for one in report["folds"]) == report["n"] == 24
    for one in report["folds"]:
        own = json.loads(
            (folds_run / f"fold{one['fold']}" / "evaluation" / "test" / "metrics.json").read_text()
        )
        assert one["accuracy"] == own["metrics"]["accuracy"]["value"]
    values = [one["log_loss"] for one in report["folds"]]
    assert report["across_folds"]["log_loss"] == {
        "mean": pytest.approx(fmean(values)),
        "std": pytest.approx(stdev(values)),
        "folds": 3,
    }
    accuracy = sum(one["accuracy"] * one["n"] for one in report["folds"]) / 24
    assert report["metrics"]["accuracy"]["value"] == pytest.approx(accuracy)


def test_a_measure_that_a_fold_lacks_is_averaged_over_the_others(folds_run: Path) -> None:
    data = read_data_set(folds_run)
    one_class = [Sample(s.path, s.label, s.group, fold=0 if s.label == "a" else 1) for s in data.samples]
    one_class[0] = Sample(one_class[0].path, "a", one_class[0].group, fold=1)
    data.samples = one_class
    write_data_set(data, folds_run)
    for fold in data.folds:
        write_data_set(data.for_fold(fold, val=0), folds_run / f"fold{fold}")
    report = hemf.evaluate(str(folds_run), **PLAIN).report
    assert report["folds"][0]["roc_auc_macro"] is None
    assert report["across_folds"]["roc_auc_macro"] == {
        "mean": report["folds"][1]["roc_auc_macro"],
        "std": None,
        "folds": 1,
    }


def test_a_fold_that_is_not_trained_stops_the_evaluation(folds_run: Path) -> None:
    (folds_run / "fold2" / "model" / "model.safetensors").unlink()
    with pytest.raises(HemfError, match=f"fold2 has not finished; .* hemf train --resume {folds_run}$"):
        hemf.evaluate(str(folds_run), **PLAIN)
    assert not list(folds_run.rglob("evaluation"))


@pytest.mark.parametrize("options", [{"split": "val"}, {"data": "elsewhere"}, {"fold": 1}])
def test_only_what_the_folds_left_out_is_measured(folds_run: Path, options: dict) -> None:
    with pytest.raises(HemfError, match=r"is a cross-validation.* give one of its runs, such as .*fold0"):
        hemf.evaluate(str(folds_run), **PLAIN, **options)


def test_folds_that_calibrate_are_said_to(folds_run: Path) -> None:
    own = hemf.calibrate(str(folds_run / "fold1"), coverage=0.5, split="val", **PLAIN)
    assert (
        own.temperature is None
    )  # its images are too few, so one that more images would have given is put in
    model = folds_run / "fold1" / "model"
    add_to_config(model, "hemf", {"calibration": own.to_config() | {"temperature": 2.0}})
    found = hemf.evaluate(str(folds_run), **PLAIN)
    assert found.report["calibration"]["fold_temperatures"] == [None, 2.0, None]
    assert found.report["fitted_calibration"] is False
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert "The models of 1 of 3 folds calibrate their probabilities." in page
