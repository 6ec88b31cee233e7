"""``hemf calibrate``: what it writes, what evaluate and predict make of it, what it refuses."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hemf
from hemf.cli.app import main
from hemf.core.errors import HemfError
from hemf.data.manifest import write_data_set
from hemf.models.hub import add_to_config

PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu"}
FLAGS = ["--precision", "fp32", "--workers", "0", "--device", "cpu"]


def config_of(run: Path) -> dict:
    return json.loads((run / "model" / "config.json").read_text(encoding="utf-8"))


def test_writes_into_the_models_configuration_and_nowhere_else(made_run: Path, capsys) -> None:
    before = config_of(made_run)
    weights = (made_run / "model" / "model.safetensors").read_bytes()
    assert main(["calibrate", str(made_run), "--coverage", "0.8", "--specificity", "{a: 0.5}", *FLAGS]) == 0
    after = config_of(made_run)
    found = after["hemf"].pop("calibration")
    assert after == before | {"hemf": before.get("hemf", {})}
    assert (made_run / "model" / "model.safetensors").read_bytes() == weights
    assert {file.name for file in (made_run / "model").iterdir()} == {"config.json", "model.safetensors"}
    assert found["fitted_on"] == {
        "data": "noise",
        "data_hash": hemf.load_data(made_run).hash,
        "split": "val",
        "n": 6,
        "groups": 6,
        "chose_checkpoint": True,
        "apart": False,
        "tta": "none",
    }
    assert found["conformal"]["n"] == 6
    assert [(p["class"], p["target"]) for p in found["operating_points"]] == [
        *(("a", "sensitivity"), ("a", "specificity"), ("b", "sensitivity"), ("c", "sensitivity"))
    ]
    said = " ".join(capsys.readouterr().out.split())
    assert "calibrated on 6 val images: sets of 0.8 coverage, 4 operating points; no temperature: " in said
    assert found["temperature"] is None
    assert "On these images themselves, so too good" in said


def test_evaluate_and_predict_use_it(made_run: Path, tmp_path: Path) -> None:
    plain = hemf.evaluate(str(made_run), **PLAIN)
    own = replace(hemf.calibrate(str(made_run), coverage=0.8, **PLAIN), temperature=1.7)
    add_to_config(made_run / "model", "hemf", {"calibration": own.to_config()})
    found = hemf.evaluate(str(made_run), **PLAIN)
    assert found.metrics["accuracy"] == plain.metrics["accuracy"]
    calibration = found.report["calibration"]
    assert calibration["temperature"] == own.temperature
    assert calibration["uncalibrated"]["log_loss"] == plain.report["calibration"]["log_loss"]
    assert calibration["log_loss"]["value"] == pytest.approx(found.metrics["log_loss"]["value"])
    assert found.report["conformal"]["coverage"]["n"] == 12
    assert {point["class"] for point in found.report["operating_points"]} == set("abc")
    assert found.report["fitted_calibration"] is False
    assert hemf.evaluate(str(made_run), split="val", **PLAIN).report["fitted_calibration"] is True

    with open(found.folder / "predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [tmp_path / "images" / row["path"] for row in rows]
    predictions = hemf.load(made_run, precision="fp32", device="cpu").predict(paths)
    for row, prediction in zip(rows, predictions, strict=True):
        assert prediction.probabilities == {name: float(row[name]) for name in "abc"}
        inside = tuple(name for name in "abc" if 1 - float(row[name]) <= own.sets.quantile)
        assert prediction.set == inside
        assert prediction.abstain is (len(inside) != 1)
    inside = [row["label"] in prediction.set for row, prediction in zip(rows, predictions, strict=True)]
    assert found.report["conformal"]["coverage"]["value"] == np.mean(inside)


def test_predictions_are_written_with_set_and_abstention(made_run: Path, tmp_path: Path, capsys) -> None:
    hemf.calibrate(str(made_run), coverage=0.8, **PLAIN)
    out, images = tmp_path / "predictions.csv", str(tmp_path / "images")
    assert main(["predict", str(made_run), images, "--out", str(out), *FLAGS]) == 0
    with open(out, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "prediction", "probability", "set", "abstain", "a", "b", "c"]
    found = hemf.load(made_run, precision="fp32", device="cpu").predict(images)
    assert [tuple(json.loads(row["set"])) for row in rows] == [one.set for one in found]
    assert [json.loads(row["abstain"]) for row in rows] == [one.abstain for one in found]
    capsys.readouterr()
    assert main(["predict", str(made_run), images, *FLAGS]) == 0
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["prediction", "probability", "set", "path"]
    assert " | ".join(found[0].set) in first


def test_repeating_it_replaces_it(made_run: Path) -> None:
    hemf.calibrate(str(made_run), coverage=0.8, **PLAIN)
    first = config_of(made_run)
    hemf.calibrate(str(made_run), coverage=0.8, **PLAIN)
    assert config_of(made_run) == first
    found = hemf.calibrate(str(made_run), sensitivity=None, **PLAIN)
    assert found.sets is None
    assert "6 patients or lesions are too few to promise a coverage of 0.9" in " ".join(found.left_out)
    assert config_of(made_run)["hemf"]["calibration"]["operating_points"] == []
    (one,) = hemf.load(made_run, precision="fp32", device="cpu").predict(np.zeros((40, 40), np.uint8))
    assert one.set is None
    assert one.abstain is None


def test_halves_by_patient(made_run: Path, tmp_path: Path) -> None:
    data = hemf.load_data(made_run)
    one = [replace(s, group="p" if s.split == "val" else s.group) for s in data.samples]
    write_data_set(replace(data, samples=one), tmp_path / "one")
    with pytest.raises(HemfError, match="a single patient or lesion and cannot be halved"):
        hemf.calibrate(str(made_run), apart=True, data=str(tmp_path / "one"), **PLAIN)
    assert hemf.calibrate(str(made_run), coverage=0.5, data=str(tmp_path / "one"), **PLAIN).sets is not None
    few = hemf.calibrate(str(made_run), coverage=0.6, data=str(tmp_path / "one"), **PLAIN)
    assert "no prediction sets: 1 patient or lesion is too few to promise a coverage of 0.6" in few.left_out
    found = hemf.calibrate(str(made_run), apart=True, split="test", coverage=0.5, **PLAIN)
    assert found.fitted_on["apart"] is True
    assert 0 < found.sets.n < 12


def test_the_model_alone_on_other_images(made_run: Path, tmp_path: Path) -> None:
    model = shutil.copytree(made_run / "model", tmp_path / "alone")
    with pytest.raises(HemfError, match="--data"):
        hemf.calibrate(str(model), **PLAIN)
    found = hemf.calibrate(str(model), data=str(made_run), split="test", coverage=0.8, **PLAIN)
    assert found.fitted_on["n"] == 12
    assert found.fitted_on["chose_checkpoint"] is False
    assert hemf.load(model, precision="fp32", device="cpu").makes_sets


@pytest.mark.parametrize("split", ["train", "all"])
def test_images_that_were_trained_on_are_refused(made_run: Path, split: str) -> None:
    before = config_of(made_run)
    with pytest.raises(HemfError, match=r"the run was trained on 6 of these \d+ images.*--split val"):
        hemf.calibrate(str(made_run), split=split, **PLAIN)
    assert config_of(made_run) == before


def test_bad_shares_are_refused_before_an_image_is_read(made_run: Path, tmp_path: Path, capsys) -> None:
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "images").mkdir()
    for i in range(24):
        (tmp_path / "images" / f"{i:02d} 50%.png").write_bytes(b"")
    assert main(["calibrate", str(made_run), "--coverage", "90", *FLAGS]) == 2
    assert "coverage is 90" in capsys.readouterr().err
    assert main(["calibrate", str(made_run), "--sensitivity", "{d: 0.9}", *FLAGS]) == 2
    assert "no class 'd' for a sensitivity" in capsys.readouterr().err


def test_a_damaged_calibration_is_named(made_run: Path, capsys) -> None:
    config = config_of(made_run) | {"hemf": {"calibration": {"temperature": "hot"}}}
    (made_run / "model" / "config.json").write_text(json.dumps(config))
    assert main(["evaluate", str(made_run), *FLAGS]) == 2
    assert "remove that entry, then repeat hemf calibrate" in capsys.readouterr().err


def test_an_evaluation_of_an_earlier_calibration_says_so(made_run: Path, capsys) -> None:
    folder = hemf.evaluate(str(made_run), resamples=0, **PLAIN).folder
    hemf.calibrate(str(made_run), coverage=0.8, **PLAIN)
    said = " ".join(capsys.readouterr().out.split())
    assert f"Marked as made before this calibration: {folder}; again: hemf evaluate {made_run}" in said
    words = "the model was calibrated anew after this evaluation"
    for name in ("report.html", "tables.md", "tables.tex", "metrics.json"):
        assert (folder / name).read_text("utf-8").count(words) == 1, name
    hemf.calibrate(str(made_run), coverage=0.7, **PLAIN)
    assert (folder / "report.html").read_text("utf-8").count(words) == 1
    hemf.evaluate(str(made_run), resamples=0, **PLAIN)
    for name in ("report.html", "tables.md", "tables.tex", "metrics.json"):
        assert words not in (folder / name).read_text("utf-8"), name
    capsys.readouterr()
    hemf.calibrate(str(made_run), coverage=0.7, **PLAIN)  # the same once more
    assert "Marked" not in capsys.readouterr().out
    assert words not in (folder / "report.html").read_text("utf-8")


def test_classes_may_be_given_as_numbers(made_run: Path) -> None:
    from hemf.calibration.fit import check_rates

    assert check_rates(0.9, {0: 0.9, True: 0.8}, None, ["0", "True"]) == [
        *(("sensitivity", "0", 0.9), ("sensitivity", "True", 0.8))
    ]
    with pytest.raises(HemfError, match="no class '2' for a sensitivity; the model's are 0, 1"):
        check_rates(0.9, {2: 0.9}, None, ["0", "1"])
    with pytest.raises(HemfError, match="named twice"):
        check_rates(0.9, {0: 0.9, "0": 0.8}, None, ["0", "1"])


def test_sets_by_class_hold_each_class(made_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--coverage", "0.6", "--conditional", "class", "--split", "test", *FLAGS]
    assert main(["calibrate", str(made_run), *flags]) == 0
    assert "sets of 0.6 coverage for each class" in " ".join(capsys.readouterr().out.split())
    found = hemf.evaluate(str(made_run), **PLAIN).report["conformal"]
    assert found["conditional"] == "class"
    assert all(one["coverage"]["value"] >= 0.6 for one in found["per_class"].values())
    said = " ".join(capsys.readouterr().out.split())
    assert "Prediction sets for a coverage of 0.6 of each class hold the true class" in said
    assert "By true class: a " in said
    few = hemf.calibrate(str(made_run), coverage=0.9, conditional="class", split="test", **PLAIN)
    assert few.sets is None
    assert "no prediction sets by class: in no class are there enough for a coverage of 0.9" in few.left_out
