"""Ensembles: means of models that differ in every way they may, who speaks, and how far they disagree."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import hemf
from hemf.cli.app import main
from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.data.fingerprints import take_fingerprints
from hemf.data.image import read
from hemf.data.image.decode import ImageBytes
from hemf.data.manifest import write_data_set
from hemf.data.preprocessing import InputSpec
from hemf.inference import classifier
from hemf.inference.models import load_models
from hemf.models.hub import add_to_config, save_model
from hemf.runs.folder import open_runs

PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu"}
FLAGS = ["--precision", "fp32", "--workers", "0", "--device", "cpu"]
COLOUR = InputSpec((3, 32, 32), 1.0, "squash", "bilinear", (0.5,) * 3, (0.5,) * 3)
GREY = InputSpec((1, 40, 48), 0.9, "center", "bicubic", (0.4,), (0.3,))


def save(folder: Path, seed: int, classes: str = "abc", spec: InputSpec = COLOUR, **extra) -> Path:
    """A model's folder: a tiny network of random weights, sure of itself so that members disagree."""
    torch.manual_seed(seed)
    channels = spec.input_size[0]
    model = timm.create_model("test_resnet", num_classes=len(classes), in_chans=channels)
    with torch.no_grad():
        model.get_classifier().weight.mul_(40)
    save_model(
        model,
        folder,
        architecture="test_resnet",
        model_args={"in_chans": channels},
        classes=list(classes),
        pretrained_cfg=spec.to_pretrained_cfg(),
        extra={"hemf": extra},
    )
    return folder


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Six images of noise."""
    rng, files = np.random.default_rng(0), [tmp_path / "new" / f"{i}.png" for i in range(6)]
    files[0].parent.mkdir()
    for file in files:
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(file)
    return files


def rows(models, images) -> np.ndarray:
    found = hemf.load(models, "fp32", "cpu").predict(images, workers=0)
    return np.array([[one.probabilities[name] for name in "abc"] for one in found])


def test_members_may_differ_in_input_order_and_temperature(tmp_path, images, monkeypatch) -> None:
    one, two = save(tmp_path / "one", 1), save(tmp_path / "two", 2, "cab", GREY)
    three = save(tmp_path / "three", 3)
    temperature = {"temperature": 3.0, "conformal": None, "operating_points": [], "left_out": []}
    add_to_config(two, "hemf", {"calibration": temperature | {"fitted_on": {"n": 9, "split": "val"}}})
    decoded = []
    monkeypatch.setattr(classifier, "read_image", lambda *how: decoded.append(how) or read.read_image(*how))
    expected = np.mean([rows(one, images), rows(two, images), rows(three, images)], 0)
    decoded.clear()
    np.testing.assert_allclose(rows([one, two, three], images), expected, rtol=1e-6, atol=1e-7)
    assert len(decoded) == 2 * len(images)  # once in colour for two members, once in grey
    assert np.array_equal(rows(f"{one}, {two},{three}", images), rows([str(one), two, three], images))


def test_disagreement_is_the_mean_distance_to_the_mean(tmp_path, images, capsys) -> None:
    one, two = save(tmp_path / "one", 1), save(tmp_path / "two", 2)
    distance = np.abs(rows(one, images) - rows(two, images)).sum(1) / 4
    found = hemf.load([one, two], "fp32", "cpu").predict(images, workers=0)
    np.testing.assert_allclose([image.disagreement for image in found], distance, rtol=1e-5, atol=1e-6)
    assert 0.01 < distance.max() < 1
    twin = save(tmp_path / "twin", 1)
    same = hemf.load([one, twin], "fp32", "cpu").predict(images, workers=0)
    assert max(image.disagreement for image in same) < 1e-6
    assert hemf.load(one, "fp32", "cpu").predict(images[0], workers=0)[0].disagreement is None
    both = f"{one},{two}"
    for name in ("p.csv", "p.jsonl"):
        assert main(["predict", both, *map(str, images), "--out", str(tmp_path / name), *FLAGS]) == 0
    with open(tmp_path / "p.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert list(table[0]) == ["path", "prediction", "probability", "disagreement", "a", "b", "c"]
    assert [float(row["disagreement"]) for row in table] == [image.disagreement for image in found]
    assert [line["disagreement"] for line in lines] == [image.disagreement for image in found]
    capsys.readouterr()
    assert main(["predict", both, str(images[0]), *FLAGS]) == 0
    said = capsys.readouterr()
    head, row = said.out.splitlines()
    assert head.split() == ["prediction", "probability", "disagreement", "path"]
    assert row.split()[2] == f"{found[0].disagreement:.3f}"
    assert "for a temperature, prediction sets and thresholds of its own: hemf calibrate" in said.err


def test_members_that_do_not_agree_are_one_line(tmp_path) -> None:
    one = save(tmp_path / "one", 1)
    for other, message in [
        (save(tmp_path / "two", 2, "abd"), "only one of them knows the class 'c', 'd'$"),
        (save(tmp_path / "three", 2, "abcd"), "only one of them knows the class 'd'$"),
        (one, "one is there twice; name each run of an ensemble once$"),
        (tmp_path / "gone", "no run at .*gone; give the folder that hemf train has made$"),
    ]:
        with pytest.raises(HemfError, match=message):
            hemf.load([one, other])
    with pytest.raises(HemfError, match=r"^no run; give"):
        hemf.load([])
    fitted = {"temperature": None, "conformal": None, "operating_points": [], "left_out": []}
    flipped = save(tmp_path / "flip", 5, calibration=fitted | {"fitted_on": {"tta": "flip"}})
    with pytest.raises(HemfError, match=r"calibrated under different views, flip and none; give --tta$"):
        hemf.load([one, flipped])
    hemf.load([one, flipped], tta="flip")


def test_a_folder_with_a_comma_in_its_name_is_one_run(tmp_path, images) -> None:
    folder = save(tmp_path / "a,b", 1)
    assert hemf.load(str(folder), "fp32", "cpu").predict(images[0], workers=0)[0].disagreement is None


@pytest.fixture
def split_runs(tmp_path: Path) -> list[Path]:
    """Two runs that were trained on other halves of the twelve images of ``tmp_path/own``, with four in both.

    Images 0 to 3 trained both, 4 to 7 the first, 8 to 11 the second; each tests the rest.
    """
    rng, runs = np.random.default_rng(1), []
    for i in range(12):
        file = tmp_path / "own" / f"{i:02}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(file)
    for number, trained in enumerate([{0, 1, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 8, 9, 10, 11}]):
        run = tmp_path / "runs" / f"run{number}"
        split = ["train" if i in trained else "test" for i in range(12)]
        samples = [Sample(f"{i:02}.png", "abc"[i % 3], "", split[i]) for i in range(12)]
        data = DataSet("noise", list("abc"), samples, tmp_path / "own", {"source": "csv"})
        write_data_set(replace(data, fingerprints=take_fingerprints(data)), run)
        hemf.RunConfig.of(image_size=32, model="test_resnet", data="own").save(run / "config.yaml")
        save(run / "model", number)
        runs.append(run)
    return runs


def test_only_members_that_did_not_see_an_image_speak_of_it(split_runs, tmp_path, capsys) -> None:
    copies = []
    for i in (0, 4, 8):  # by content, wherever they lie
        copies.append(tmp_path / f"copy{i}.png")
        copies[-1].write_bytes((tmp_path / "own" / f"{i:02}.png").read_bytes())
    other = tmp_path / "other.png"
    Image.fromarray(np.random.default_rng(9).integers(0, 256, (40, 50, 3), np.uint8)).save(other)
    files = [*copies, other]
    both = rows(split_runs, files)
    first, second = (rows(run, files) for run in split_runs)
    mean = (first + second) / 2
    expected = [mean[0], second[1], first[2], mean[3]]
    np.testing.assert_allclose(both, expected, rtol=1e-5, atol=1e-6)
    found = hemf.load(split_runs, "fp32", "cpu").predict(files, workers=0)
    assert [one.disagreement is None for one in found] == [False, True, True, False]
    classifier = hemf.load(split_runs, "fp32", "cpu")
    in_memory = [ImageBytes(file.name, file.read_bytes()) for file in files]
    for images in (in_memory, list(map(classifier.prepare, in_memory))):
        again = classifier.predict(images)
        assert [one.probabilities for one in again] == [one.probabilities for one in found]
        assert [one.path for one in again] == [file.name for file in files]
    capsys.readouterr()
    names = ",".join(map(str, split_runs))
    assert main(["predict", names, *map(str, files), *FLAGS]) == 0
    assert "every run was trained on 1 of these 4 images" in capsys.readouterr().err
    assert main(["predict", names, *map(str, files[1:]), *FLAGS]) == 0
    assert "2 of these 3 images are predicted only by the runs that were not" in capsys.readouterr().err


def test_evaluate_and_calibrate_several_runs(split_runs, tmp_path, capsys) -> None:
    names = ",".join(map(str, split_runs))
    found = hemf.evaluate(names, split="all", resamples=0, **PLAIN)
    files = [tmp_path / "own" / path for path in found.predictions.paths]
    np.testing.assert_allclose(found.predictions.probabilities, rows(split_runs, files), rtol=1e-5, atol=1e-6)
    report = json.loads((found.folder / "metrics.json").read_text())
    assert report["images_trained_on"] == 4
    assert report["members"] == list(map(str, split_runs))
    apart = found.predictions.disagreement
    assert np.isnan(apart).tolist() == [False] * 4 + [True] * 8
    assert report["disagreement"] == {"value": pytest.approx(apart[:4].mean()), "n": 4}
    assert found.folder.parent == split_runs[0] / "evaluation"
    page = (found.folder / "report.html").read_text("utf-8")
    assert "The members disagree by" in page
    assert "ensemble of 2 (test_resnet)" in page
    with pytest.raises(HemfError, match="the run was trained on 4 of these 12 images"):
        hemf.calibrate(names, split="all", **PLAIN)
    own = hemf.calibrate(names, split="test", coverage=0.7, sensitivity=None, **PLAIN)
    assert own.sets.n == own.fitted_on["n"] == 4
    (file,) = split_runs[0].glob("ensemble-*.json")
    assert json.loads(file.read_text())["calibration"] == own.to_config()
    for order in (split_runs, split_runs[::-1]):
        assert hemf.load(order, "fp32", "cpu").makes_sets
    assert not hemf.load(split_runs[0], "fp32", "cpu").makes_sets
    assert "stale" in json.loads((found.folder / "metrics.json").read_text())
    save(split_runs[1] / "model", 7)
    capsys.readouterr()
    assert not hemf.load(names, "fp32", "cpu").makes_sets  # it is another ensemble


def test_explain_averages_maps_of_different_inputs(tmp_path, images, capsys) -> None:
    one, two = save(tmp_path / "one", 1), save(tmp_path / "two", 2, "cab", GREY)
    how = {"target": "b", "device": "cpu", "method": "gradcam++"}
    for name, run in {"1": one, "2": two, "both": f"{one},{two}"}.items():
        hemf.explain(str(run), [str(images[0])], out=str(tmp_path / name), **how)
    maps = [np.load(tmp_path / name / "0.npy") for name in ("1", "2", "both")]
    np.testing.assert_allclose(maps[2], (maps[0] + maps[1]) / 2, rtol=1e-6)
    assert maps[0].any()
    assert maps[1].any()
    assert maps[2].dtype == np.float32
    with pytest.raises(HemfError, match="give one run of the ensemble"):
        hemf.explain(f"{one},{two}", [str(images[0])], out=str(tmp_path / "s"), stages=True, device="cpu")


def test_the_network_computes_what_is_asked_of_it_in_half_precision_too(tmp_path, images) -> None:
    one, two = save(tmp_path / "one", 1), save(tmp_path / "two", 2)
    ensemble = load_models(open_runs([one, two]))
    assert ensemble.inputs == (COLOUR,)
    found = hemf.load([one, two], "bf16", "cpu").predict(images, workers=0)
    assert len({image.probability for image in found}) == len(images)  # logits of 8 bits would tie
