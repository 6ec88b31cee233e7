"""``hemf ood``: the score that training keeps with a model, in predictions, exports and an ensemble."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemf
from hemf.cli.app import main
from hemf.core.errors import HemfError
from hemf.familiarity.record import FILE

PLAIN = ["--precision", "fp32", "--device", "cpu", "--workers", "0"]


@pytest.fixture
def strange(tmp_path) -> Path:
    """Black-and-white stripes, unlike any noise with a cast."""
    folder = tmp_path / "strange"
    folder.mkdir()
    for i in range(6):
        pixels = np.zeros((40, 48), np.uint8)
        pixels[:, :: 2 + i] = 255
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_training_keeps_a_score_that_predictions_and_exports_give(train, colours, strange, tmp_path, capsys):
    run = train().path
    own = json.loads((run / "model" / "config.json").read_text())["hemf"]["familiarity"]
    assert own["fitted_on"]["train"] == 50
    assert own["fitted_on"]["n"] == 20
    out = tmp_path / "found.csv"
    capsys.readouterr()
    places = [str(strange), str(colours / "test")]
    assert main(["predict", str(run), *places, "--out", str(out), *PLAIN]) == 0
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-5:] == ["unfamiliarity", "unfamiliar", "blue", "green", "red"]
    assert all(row["unfamiliar"] == "true" and float(row["unfamiliarity"]) > 1 for row in rows[:6])
    assert sum(row["unfamiliar"] == "true" for row in rows[6:]) <= 4  # of 20, at about 5%
    assert "unlike the training images" in capsys.readouterr().err
    assert main(["predict", str(run), str(strange / "0.png"), *PLAIN]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert "unfamiliarity" in head
    assert f"{float(rows[0]['unfamiliarity']):.2f}!" in line

    exported = hemf.export(str(run), format="onnx")
    assert exported.parity["unfamiliarity"]["largest_difference"] < 1e-3
    assert exported.parity["unfamiliarity"]["same_warning"] == exported.parity["n"]
    (prediction,) = hemf.load(exported.path).predict(strange / "0.png")
    assert prediction.unfamiliarity == pytest.approx(float(rows[0]["unfamiliarity"]), rel=1e-3)
    assert prediction.unfamiliar

    found = hemf.ood(str(run), against=[str(strange)], resamples=50, device="cpu", workers=0)
    assert found.others[str(strange)]["warned"]["value"] == 1
    assert found.own["n"] == 20
    assert json.loads((run / "evaluation" / "test" / "ood.json").read_text()) == found.to_json()

    (run / "model" / FILE).unlink()
    with pytest.raises(HemfError, match=r"damaged .*repeat hemf ood"):
        hemf.load(run)
    again = hemf.ood(str(run), resamples=50, device="cpu", workers=0)  # fits it anew
    assert again.own == found.own


def test_what_it_cannot_do_is_one_line(made_run, tmp_path):
    with pytest.raises(HemfError, match="6 training images and 6 others are too few"):
        hemf.ood(str(made_run), workers=0, device="cpu")
    alone = shutil.copytree(made_run / "model", tmp_path / "alone")
    with pytest.raises(HemfError, match="give the run"):
        hemf.ood(str(alone))


def test_members_give_the_mean_of_their_scores(train, strange):
    first, second = train().path, train(seed=1, name="second").path
    image = strange / "0.png"
    alone = [hemf.load(one, device="cpu", precision="fp32").predict(image)[0] for one in (first, second)]
    (together,) = hemf.load([first, second], device="cpu", precision="fp32").predict(image)
    assert together.unfamiliarity == pytest.approx(np.mean([one.unfamiliarity for one in alone]), rel=1e-5)
