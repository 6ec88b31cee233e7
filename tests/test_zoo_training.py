"""Every model of the zoo on real images: a few steps of training, then evaluation and prediction.

The models are those of the smoke suite, of the paper's architectures and much narrower.
"""

import csv
import json
import shutil
from pathlib import Path

import pytest

import hemf
from hemf.bench.suite import read_suite
from hemf.commands.bench import bench

pytestmark = [pytest.mark.real, pytest.mark.slow]

STEPS = {
    "epochs": 5,
    "batch_size": 8,
    "lr": 1e-3,
    "crop_scale": (1.0, 1.0),
    "hflip": 0.0,
    "precision": "fp32",
    "accelerator": "cpu",
}
PER_CLASS = {"train": 8, "val": 2, "test": 4}
ROWS = [row.name for row in read_suite("smoke").rows]


@pytest.fixture(scope="module")
def slices(real_data, tmp_path_factory) -> Path:
    """Some slices of COVID-CT in train/val/test folders: 16, 4 and 8 images."""
    root = tmp_path_factory.mktemp("slices")
    for name in ("CT_COVID", "CT_NonCOVID"):
        images = sorted((real_data / "covid-ct" / "Images-processed" / name).iterdir())[::20]
        for split, count in PER_CLASS.items():
            (root / split / name).mkdir(parents=True)
            for image in images[:count]:
                shutil.copy(image, root / split / name)
            images = images[count:]
    return root


@pytest.fixture(scope="module")
def runs(slices, tmp_path_factory) -> Path:
    """Folder of the runs of all models, trained and evaluated."""
    out = tmp_path_factory.mktemp("bench")
    bench("smoke", out=str(out), data=str(slices), **STEPS)
    return out / "smoke" / "runs" / "demo"


@pytest.mark.parametrize("name", ROWS)
def test_the_loss_falls_on_real_images(runs, name):
    with (runs / name / "seed0" / "metrics.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert len(losses) == STEPS["epochs"]
    assert losses[-1] < losses[0]
    assert min(losses) == min(losses[1:])


@pytest.mark.parametrize("name", ROWS)
def test_evaluation_and_prediction_agree_on_real_images(runs, slices, name):
    run = runs / name / "seed0"
    assert json.loads((run / "evaluation" / "test" / "metrics.json").read_text())["n"] == 8
    with (run / "evaluation" / "test" / "predictions.csv").open() as file:
        evaluated = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    predictions = hemf.load(run, precision="fp32", device="cpu").predict(slices / "test")
    assert len(predictions) == len(evaluated) == 8
    for one in predictions:
        row = evaluated[Path(one.path).name]
        assert one.label == row["prediction"]
        assert one.probabilities == pytest.approx({k: float(row[k]) for k in one.probabilities}, abs=1e-6)
