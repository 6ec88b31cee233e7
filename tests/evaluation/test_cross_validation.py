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
from hemf.data.preprocessing import InputSpec
from hemf.data.splits import split_data
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
    assert said.endswith(f"next: hemf predict {folds_run} IMAGES")
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


@pytest.mark.parametrize("options", [{"split": "val"}, {"split": "all"}, {"fold": 1}])
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


def predictions_of(run: Path, files: list[Path]) -> np.ndarray:
    found = hemf.load(run, "fp32", "cpu").predict(files, workers=0)
    return np.array([list(one.probabilities.values()) for one in found])


@pytest.fixture
def others(tmp_path: Path, folds_run: Path) -> Path:
    """Another data set of two classes: four new images, and a copy of the first image of each fold."""
    rng = np.random.default_rng(5)
    for i in range(4):
        file = tmp_path / "others" / "ab"[i % 2] / f"new{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(file)
    data = read_data_set(folds_run)
    for fold in data.folds:
        first = next(s for s in data.samples if s.fold == fold)
        copy = tmp_path / "others" / first.label / f"copy{fold}.png"
        copy.write_bytes(data.path(first).read_bytes())
    return tmp_path / "others"


def test_on_other_images_the_folds_are_an_ensemble(folds_run: Path, others: Path, capsys) -> None:
    found = hemf.evaluate(str(folds_run), data=str(others), resamples=0, **PLAIN)
    assert found.n == 7
    assert found.folder.parent == folds_run / "evaluation"
    assert found.report["images_trained_on"] == 0
    assert found.report["members"] == [str(folds_run / f"fold{fold}") for fold in range(3)]
    files = [others / path for path in found.predictions.paths]
    each = np.stack([predictions_of(folds_run / f"fold{fold}", files) for fold in range(3)])
    data = read_data_set(folds_run)
    for i, file in enumerate(files):
        speaking = [True] * 3
        if file.stem.startswith("copy"):  # the folds that trained on it do not speak; those it validated do
            own = next(s.path for s in data.samples if data.path(s).read_bytes() == file.read_bytes())
            manifests = [read_data_set(folds_run / f"fold{fold}") for fold in range(3)]
            speaking = [own not in {s.path for s in one.subset("train")} for one in manifests]
            assert speaking[int(file.stem[-1])]
            assert not all(speaking)
        mean = each[speaking, i].mean(0)
        np.testing.assert_allclose(found.predictions.probabilities[i], mean, rtol=1e-5, atol=1e-6)
    said = " ".join(capsys.readouterr().out.split())
    assert "The members disagree by" in said
    assert "for a temperature, prediction sets and thresholds of its own: hemf calibrate" in said


def test_it_is_calibrated_on_what_its_folds_left_out(folds_run: Path, others: Path, capsys) -> None:
    pooled = hemf.evaluate(str(folds_run), resamples=0, **PLAIN)
    other = hemf.evaluate(str(folds_run), data=str(others), resamples=0, **PLAIN)
    own = hemf.calibrate(str(folds_run), coverage=0.7, **PLAIN)
    assert own.fitted_on["split"] == "out-of-fold"
    assert own.fitted_on["n"] == own.sets.n == 24
    assert own.fitted_on["chose_checkpoint"] is False
    right = pooled.predictions.probabilities[np.arange(24), pooled.predictions.labels]
    if own.temperature is None:
        k = int(np.ceil(2 * 13 * 0.7))  # of 12 patients with two images each
        assert own.sets.quantile == pytest.approx(np.sort(1 - right)[k - 1], rel=1e-5)
    kept = json.loads((folds_run / "ensemble.json").read_text())
    assert kept["calibration"] == own.to_config()
    assert "stale" in json.loads((other.folder / "metrics.json").read_text())
    assert "stale" not in json.loads((pooled.folder / "metrics.json").read_text())
    capsys.readouterr()
    again = hemf.evaluate(str(folds_run), data=str(others), resamples=0, **PLAIN)
    assert again.report["conformal"]["target"] == 0.7
    assert hemf.load(folds_run, "fp32", "cpu").makes_sets
    assert "--tta" not in capsys.readouterr().err
    exact = hemf.calibrate(str(folds_run), coverage=0.6, data=str(others), split="all", **PLAIN)
    assert exact.fitted_on["n"] == 7
    for options in ({"split": "test"}, {"fold": 1}):
        with pytest.raises(HemfError, match=r"is a cross-validation, .* neither --split nor --fold$"):
            hemf.calibrate(str(folds_run), **PLAIN, **options)
    add_to_config(
        folds_run / "fold1" / "model", "hemf", {"calibration": own.to_config() | {"temperature": 2.0}}
    )
    capsys.readouterr()
    assert not hemf.load(folds_run, "fp32", "cpu").makes_sets
    assert "is not used, for its members changed after it" in capsys.readouterr().err


def test_a_strangers_calibration_of_an_ensemble_is_data(folds_run: Path, tmp_path: Path) -> None:
    hemf.calibrate(str(folds_run), coverage=0.7, **PLAIN)
    file = folds_run / "ensemble.json"
    kept = json.loads(file.read_text())
    for damaged in ("[]", json.dumps(kept | {"calibration": {"temperature": "hot"}})):
        file.write_text(damaged)
        with pytest.raises(HemfError, match=r"holds no JSON object|is damaged"):
            hemf.load(folds_run)
    file.rename(tmp_path / "outside.json")
    file.symlink_to(tmp_path / "outside.json")
    with pytest.raises(HemfError, match="leads out of"):
        hemf.load(folds_run)


@pytest.fixture
def keeps_test(folds_run: Path) -> Path:
    """The cross-validation with the six images of its third fold kept as test images of the two others."""
    data = read_data_set(folds_run)
    sides = [("test", None) if s.fold == 2 else ("train", s.fold) for s in data.samples]
    samples = [Sample(s.path, s.label, s.group, *side) for s, side in zip(data.samples, sides, strict=True)]
    data = DataSet(data.name, data.classes, samples, data.root, data.info)
    write_data_set(data, folds_run)
    for fold in data.folds:
        write_data_set(data.for_fold(fold), folds_run / f"fold{fold}")
    return folds_run


def test_beside_test_images_the_folds_are_an_ensemble_on_them(keeps_test: Path) -> None:
    data = read_data_set(keeps_test)
    test = data.subset("test")
    found = hemf.evaluate(str(keeps_test), **PLAIN)
    assert found.folder == keeps_test / "evaluation" / "test"
    assert found.predictions.paths == [s.path for s in test]
    assert found.report["images_trained_on"] == 0
    assert found.report["chose_checkpoint"] is False
    assert "folds" not in found.report
    each = [predictions_of(keeps_test / f"fold{k}", [data.path(s) for s in test]) for k in (0, 1)]
    np.testing.assert_allclose(found.predictions.probabilities, np.mean(each, 0), rtol=1e-5, atol=1e-6)


def test_beside_test_images_the_folds_validate(keeps_test: Path) -> None:
    data = read_data_set(keeps_test)
    found = hemf.evaluate(str(keeps_test), split="val", resamples=0, **PLAIN)
    assert found.folder == keeps_test / "evaluation" / "val"
    assert found.predictions.paths == [s.path for s in data.samples if s.split != "test"]
    assert [one["fold"] for one in found.report["folds"]] == [0, 1]
    assert found.report["split"] == "val"
    assert found.report["chose_checkpoint"] is True
    assert found.report["images_trained_on"] == 0
    for fold in (0, 1):
        here = [s.path for s in data.samples if s.fold == fold]
        rows = found.predictions.probabilities[[found.predictions.paths.index(path) for path in here]]
        alone = predictions_of(keeps_test / f"fold{fold}", [data.root / path for path in here])
        np.testing.assert_allclose(rows, alone, rtol=1e-6)
    own = hemf.calibrate(str(keeps_test), coverage=0.7, **PLAIN)
    assert own.fitted_on["n"] == len(found.predictions.paths)
    assert own.fitted_on["chose_checkpoint"] is True
    assert hemf.evaluate(str(keeps_test), resamples=0, **PLAIN).report["fitted_calibration"] is False
