"""``hemf.evaluate`` on a run's own splits and on other data: files, provenance, refusals."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemf
from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.data.manifest import read_data_set, write_data_set
from hemf.inference.predictions import read_predictions
from hemf.metrics.bootstrap import Draws
from hemf.metrics.classification import classification_metrics
from hemf.metrics.intervals import with_intervals

FIGURES = ("confusion-matrix", "roc", "precision-recall", "reliability")
FILES = {
    "metrics.json",
    "predictions.csv",
    "report.html",
    "tables.md",
    "tables.tex",
    *(f"{figure}.{kind}" for figure in FIGURES for kind in ("svg", "png")),
}
PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu"}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def other_data(folder: Path, labels: list[str], name: str = "other") -> Path:
    """A prepared data set of grey test images, one a label."""
    (folder / "files").mkdir(parents=True)
    samples = [Sample(f"{i}.png", label, split="test") for i, label in enumerate(labels)]
    for i in range(len(labels)):
        Image.new("L", (40, 40), 10 * i).save(folder / "files" / f"{i}.png")
    write_data_set(DataSet(name, sorted(set(labels)), samples, folder / "files"), folder)
    return folder


def test_writes_everything_about_the_test_split(made_run: Path) -> None:
    found = hemf.evaluate(str(made_run), **PLAIN)
    assert found.folder == made_run / "evaluation" / "test"
    assert {file.name for file in found.folder.iterdir()} == FILES
    report = json.loads((found.folder / "metrics.json").read_text(encoding="utf-8"))
    assert report == json.loads(json.dumps(found.report))
    assert report["n"] == found.n == 12
    assert report["split_method"] == "grouped"
    assert report["precision"] == "fp32"
    assert report["data"] == {"name": "noise", "hash": read_data_set(made_run).hash, "own": True}
    assert report["environment"]["packages"]["torch"]
    assert report["images_per_second"] == pytest.approx(12 / report["seconds"])
    assert "n = 12" in str(found)


def test_metrics_follow_from_the_predictions_written(made_run: Path) -> None:
    found = hemf.evaluate(str(made_run), **PLAIN)
    rows, classes = rows_of(found.folder), list("abc")
    expected = [s for s in read_data_set(made_run).samples if s.split == "test"]
    assert [(row["path"], row["label"]) for row in rows] == [(s.path, s.label) for s in expected]
    probabilities = np.array([[float(row[name]) for name in classes] for row in rows])
    labels = np.array([classes.index(row["label"]) for row in rows])
    assert [row["prediction"] for row in rows] == [classes[k] for k in probabilities.argmax(1)]
    again = classification_metrics(labels, probabilities, classes)
    again = with_intervals(again, read_predictions(found.folder / "predictions.csv"), Draws())
    assert again["intervals"]["unit"] == "group"
    assert {name: found.report[name] for name in again} == again


def test_every_number_on_the_screen_has_its_interval(made_run: Path, capsys) -> None:
    found = hemf.evaluate(str(made_run), resamples=300, seed=4, **PLAIN)
    assert found.report["intervals"]["resamples"] == 300
    assert "4 patients or lesions of a class are too few" in found.metrics["roc_auc_macro"]["no_interval"]
    low, high = found.metrics["log_loss"]["ci95"]
    assert low <= found.metrics["log_loss"]["value"] <= high
    again = hemf.evaluate(str(made_run), resamples=300, seed=4, **PLAIN)
    assert again.metrics == found.metrics
    said = " ".join(capsys.readouterr().out.split())
    value = found.metrics["log_loss"]["value"]
    assert f"log-loss {value:.3f} [{low:.3f}, {high:.3f}] 12" in said
    assert "Fewer than 20 patients or lesions: the intervals of ROC AUC, log-loss and Brier score" in said
    assert "bootstrap, 300 resamples of 12 patients or lesions, stratified by class" in said
    assert hemf.evaluate(str(made_run), resamples=300, seed=5, **PLAIN).metrics != found.metrics


def test_without_resamples_only_proportions_have_intervals(made_run: Path, capsys) -> None:
    found = hemf.evaluate(str(made_run), resamples=0, **PLAIN)
    assert "ci95" in found.metrics["accuracy"]
    assert "ci95" not in found.metrics["f1_macro"]
    assert "which takes images as independent" in " ".join(capsys.readouterr().out.split())


def test_says_which_patients_are_on_two_sides(made_run: Path, capsys) -> None:
    report = hemf.evaluate(str(made_run), **PLAIN).report
    assert report["groups_on_two_sides"] == 1
    assert report["images_of_those_groups"] == 1
    assert report["images_trained_on"] == 0
    assert report["chose_checkpoint"] is False
    assert "Warning: 1 of these 12 images (8.3%)" in " ".join(capsys.readouterr().out.split())


def test_says_where_the_files_are_and_what_to_do_next(made_run: Path, capsys) -> None:
    folder = hemf.evaluate(str(made_run), **PLAIN).folder
    lines = capsys.readouterr().out.splitlines()
    assert {str(folder / "confusion-matrix.png"), str(folder / "report.html")} <= set(lines)
    assert lines[-1] == f"next: hemf predict {made_run} IMAGES"


def test_says_when_the_numbers_are_too_good(made_run: Path, capsys) -> None:
    assert hemf.evaluate(str(made_run), split="val", **PLAIN).report["chose_checkpoint"] is True
    assert hemf.evaluate(str(made_run), split="train", **PLAIN).report["images_trained_on"] == 6
    assert hemf.evaluate(str(made_run), split="all", **PLAIN).report["images_trained_on"] == 6
    said = " ".join(capsys.readouterr().out.split())
    assert "Warning: val chose the best checkpoint" in said
    assert "Warning: the run was trained on 6 of these 24 images." in said


def test_another_data_set_with_classes_missing(made_run: Path, tmp_path: Path, capsys) -> None:
    data = other_data(tmp_path / "x", ["a", "c", "c"], name="../other $set")
    found = hemf.evaluate(str(made_run), data=str(data), **PLAIN)
    assert found.folder.parent == made_run / "evaluation"
    assert re.fullmatch("other-set-test-[0-9a-f]{8}", found.folder.name)
    assert found.report["absent_classes"] == ["b"]
    assert found.report["confusion_matrix"][1] == [0, 0, 0]
    assert found.report["groups_on_two_sides"] is None
    assert found.report["data"]["own"] is False
    assert "left out of the averages: b" in " ".join(capsys.readouterr().out.split())


def test_the_model_folder_alone_needs_data(made_run: Path, tmp_path: Path) -> None:
    model = shutil.copytree(made_run / "model", tmp_path / "alone")
    with pytest.raises(HemfError, match="--data"):
        hemf.evaluate(str(model), **PLAIN)
    found = hemf.evaluate(str(model), data=str(other_data(tmp_path / "x", ["a", "b"])), **PLAIN)
    assert found.folder.parent == model / "evaluation"
    assert found.report["images_trained_on"] is None


def test_a_fold_of_data_in_folds(made_run: Path, tmp_path: Path) -> None:
    folder = other_data(tmp_path / "x", ["a", "b"] * 4)
    data = read_data_set(folder)
    data.samples = [Sample(s.path, s.label, fold=i // 4) for i, s in enumerate(data.samples)]
    data.info["split"] = {"method": "kfold", "val": 0, "seed": 0}
    write_data_set(data, folder)
    found = hemf.evaluate(str(made_run), data=str(folder), fold=1, **PLAIN)
    assert [row["path"] for row in rows_of(found.folder)] == ["4.png", "5.png", "6.png", "7.png"]
    assert found.folder.name.startswith("other-fold1-test-")
    with pytest.raises(HemfError, match="choose one with --fold"):
        hemf.evaluate(str(made_run), data=str(folder), **PLAIN)
    with pytest.raises(HemfError, match="goes with --data"):
        hemf.evaluate(str(made_run), fold=1, **PLAIN)


def test_classes_the_model_does_not_know(made_run: Path, tmp_path: Path) -> None:
    data = other_data(tmp_path / "x", ["a", "z"])
    with pytest.raises(HemfError, match=r"images of 'z'.*its classes are a, b, c"):
        hemf.evaluate(str(made_run), data=str(data), **PLAIN)


def test_an_empty_split_names_those_there_are(made_run: Path, tmp_path: Path) -> None:
    data = other_data(tmp_path / "x", ["a", "b"])
    with pytest.raises(HemfError, match=r"other has no val images; it has test \(2\)"):
        hemf.evaluate(str(made_run), split="val", data=str(data), **PLAIN)
    with pytest.raises(HemfError, match="no split 'tset'"):
        hemf.evaluate(str(made_run), split="tset", **PLAIN)


def test_an_unreadable_image_stops_and_leaves_the_last_evaluation(made_run: Path, tmp_path: Path) -> None:
    before = hemf.evaluate(str(made_run), **PLAIN)
    kept = (before.folder / "metrics.json").read_bytes()
    (tmp_path / "images" / "02 50%.png").write_bytes(b"not an image")
    with pytest.raises(HemfError, match=r"02 50%\.png"):
        hemf.evaluate(str(made_run), **PLAIN)
    assert (before.folder / "metrics.json").read_bytes() == kept


def test_batch_size_and_workers_change_nothing_that_matters(made_run: Path) -> None:
    one = rows_of(hemf.evaluate(str(made_run), **PLAIN | {"batch_size": 5, "workers": 2}).folder)
    two = rows_of(hemf.evaluate(str(made_run), **PLAIN).folder)
    for a, b in zip(one, two, strict=True):
        assert [float(a[c]) for c in "abc"] == pytest.approx([float(b[c]) for c in "abc"], abs=1e-6)


def copied(run: Path, folder: Path, **info) -> Path:
    """The run's images elsewhere under other names, all of them for testing."""
    data = read_data_set(run)
    (folder / "files").mkdir(parents=True)
    for i, s in enumerate(data.samples):
        shutil.copy(data.path(s), folder / "files" / f"{i}.png")
    data.samples = [replace(s, path=f"{i}.png", split="test") for i, s in enumerate(data.samples)]
    data.root, data.info = folder / "files", info
    write_data_set(data, folder)
    return folder


def test_copies_of_training_images_count_as_trained_on(made_run: Path, tmp_path: Path) -> None:
    copy = str(copied(made_run, tmp_path / "copy"))
    report = hemf.evaluate(str(made_run), data=copy, **PLAIN).report
    assert report["images_trained_on"] == 6
    assert report["images_of_groups_trained_on"] is None
    with pytest.raises(HemfError, match="trained on 6 of these 24 images"):
        hemf.calibrate(str(made_run), data=copy, split="test", **PLAIN)


def test_other_images_of_training_patients_are_counted_where_the_source_is_one(
    made_run: Path, tmp_path: Path, capsys
) -> None:
    data = read_data_set(made_run)
    data.info["source"] = "hospital"
    write_data_set(data, made_run)
    copy = copied(made_run, tmp_path / "copy", source="hospital")
    report = hemf.evaluate(str(made_run), data=str(copy), **PLAIN).report
    assert report["images_of_groups_trained_on"] == 7  # the six, and the one of p5 in the run's test split
    said = " ".join(capsys.readouterr().out.split())
    assert "7 of these 24 images show patients or lesions that the run was trained on" in said
    assert "No patient or lesion is on two sides of its own split." in said
    others = read_data_set(copy)
    others.samples = [s for i, s in enumerate(others.samples) if data.samples[i].split == "test"]
    write_data_set(others, copy)
    with pytest.raises(HemfError, match="1 of these 12 images show patients or lesions"):
        hemf.calibrate(str(made_run), data=str(copy), split="test", **PLAIN)


def test_its_own_validation_images_chose_the_checkpoint_by_whatever_path(made_run: Path) -> None:
    report = hemf.evaluate(str(made_run), split="val", data=str(made_run), **PLAIN).report
    assert report["chose_checkpoint"] is True


def test_a_negative_seed_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(HemfError, match="the seed is -1; give 0 or more"):
        hemf.evaluate(str(tmp_path), seed=-1)
    with pytest.raises(HemfError, match="the seed is -1; give 0 or more"):
        hemf.compare(["a", "b"], seed=-1)


def tree(folder: Path, counts: dict[str, int]) -> Path:
    """Class folders with so many images of noise each."""
    rng = np.random.default_rng(len(str(folder)))
    for label, n in counts.items():
        (folder / label).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)).save(folder / label / f"{i}.png")
    return folder


def test_data_sets_of_one_name_keep_their_own_results(made_run: Path, tmp_path: Path, capsys) -> None:
    """Two folders called images, whose files are called the same, and one measured twice."""
    first, second = (tree(tmp_path / name / "images", {"a": 3, "b": 2}) for name in ("A", "B"))
    quick = PLAIN | {"resamples": 0}
    found = [hemf.evaluate(str(made_run), data=str(data), **quick) for data in (first, second)]
    assert found[0].folder != found[1].folder
    assert json.loads((found[0].folder / "metrics.json").read_text()) == json.loads(
        json.dumps(found[0].report)
    )
    assert "replaces" not in capsys.readouterr().out
    again = hemf.evaluate(str(made_run), data=str(first), **quick)
    assert again.folder == found[0].folder
    said = " ".join(capsys.readouterr().out.split())
    assert f"This replaces the evaluation of {found[0].report['environment']['started']} in" in said


def test_all_images_of_data_without_a_split_are_tested(made_run: Path, tmp_path: Path) -> None:
    data = tree(tmp_path / "hospital", {"a": 6, "c": 4})
    found = hemf.evaluate(str(made_run), data=str(data), resamples=0, **PLAIN)
    assert (found.n, found.report["split_method"]) == (10, "none, all images test")
    (data / "list.csv").write_text("path,label\n" + "".join(f"a/{i}.png,a\n" for i in range(6)))
    assert hemf.evaluate(str(made_run), data=str(data / "list.csv"), resamples=0, **PLAIN).n == 6
    with pytest.raises(HemfError, match=r"no val images; it has test \(10\); give --split all"):
        hemf.calibrate(str(made_run), data=str(data), **PLAIN)
    rows = "".join(f"a/{i}.png,a,{('train', 'test')[i // 4]}\n" for i in range(6))
    (data / "list.csv").write_text("path,label,split\n" + rows)
    assert hemf.evaluate(str(made_run), data=str(data / "list.csv"), resamples=0, **PLAIN).n == 2


def test_a_single_class_is_measured_as_far_as_it_goes(made_run: Path, tmp_path: Path, capsys) -> None:
    hemf.calibrate(str(made_run), split="test", coverage=0.8, **PLAIN)
    data = tree(tmp_path / "healthy", {"a": 12, "b": 0})
    found = hemf.evaluate(str(made_run), data=str(data), **PLAIN)
    of = found.report["per_class"]
    assert of["a"]["recall"]["value"] == found.metrics["accuracy"]["value"]
    assert "ci95" in of["a"]["recall"]
    called = sum(row["prediction"] == "b" for row in rows_of(found.folder))
    assert of["b"]["specificity"]["value"] == pytest.approx(1 - called / 12)
    assert {"ci95", "interval"} <= set(of["b"]["specificity"])
    assert found.metrics["roc_auc_macro"] == {"value": None, "n": 12, "reason": "one class only"}
    assert found.report["conformal"]["mean_size"]["value"] >= 0
    assert found.report["calibration"]["brier"]["value"] >= 0
    for words in (
        " ".join(capsys.readouterr().out.split()),
        (found.folder / "report.html").read_text("utf-8"),
    ):
        assert "All images are of one class, a." in words
        assert "Not defined, as they compare images of several classes, are ROC AUC" in words


def test_classes_of_other_names_are_all_named(made_run: Path, tmp_path: Path) -> None:
    data = tree(tmp_path / "x", {"a": 1, "A": 2, "z": 1})
    with pytest.raises(HemfError, match=r"images of 'A' \(2\), 'z' \(1\), which .*its classes are a, b, c"):
        hemf.evaluate(str(made_run), data=str(data), **PLAIN)
