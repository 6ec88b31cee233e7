"""Drift: its tests against SciPy, their errors of the first kind with patients, and the command."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ks_2samp

import hemf
from hemf.core.errors import HemfError
from hemf.shift.drift import Seen, describe_image, drift


def seen(values, groups=None, right=None, classes=None) -> Seen:
    values = np.asarray(values, float)
    n = len(values)
    return Seen({"brightness": values}, classes or ["a"] * n, groups or [""] * n, right)


def test_distance_is_scipys_and_p_is_near_it():
    rng = np.random.default_rng(0)
    old, new = np.round(rng.normal(0, 1, 80), 1), np.round(rng.normal(0.4, 1, 60), 1)
    found = drift("run", {}, seen(old), seen(new), 2000, 0)
    expected = ks_2samp(old, new)
    (numbers, classes) = found.tests
    assert numbers["statistic"] == pytest.approx(expected.statistic)
    assert numbers["p"] == pytest.approx(expected.pvalue, abs=0.05)  # whose p takes no notice of ties
    assert classes["p"] == 1, "all of one class: nothing to tell apart"
    assert numbers["p_corrected"] == pytest.approx(min(1, 2 * numbers["p"]))


def test_false_alarms_stay_at_five_percent_although_patients_have_many_images():
    """120 trials of 20 against 20 patients with 5 alike images each; a test of images alone fails here."""
    rng, alarms, naive = np.random.default_rng(1), 0, 0
    for trial in range(120):
        sides = []
        for side in ("old", "new"):
            values = np.repeat(rng.normal(size=20), 5) + 0.1 * rng.normal(size=100)
            sides.append((values, [f"{side}{i // 5}" for i in range(100)]))
        (old, of_old), (new, of_new) = sides
        alarms += drift("run", {}, seen(old, of_old), seen(new, of_new), 199, trial).tests[0]["p"] <= 0.05
        naive += ks_2samp(old, new).pvalue <= 0.05
    assert alarms <= 13  # 6 expected; more than 13 in one of 500 series
    assert naive > 30


def test_labels_and_classes_are_compared():
    old = seen(np.zeros(60), right=np.arange(60) % 10 > 0, classes=["a", "b"] * 30)
    new = seen(np.zeros(60), right=np.arange(60) % 2 > 0, classes=["a"] * 60)
    found = drift("run", {"new": {"data": "x"}}, old, new, 500, 0)
    of = {one["name"]: one for one in found.tests}
    assert of["accuracy"]["reference"] == pytest.approx(0.9)
    assert of["accuracy"]["new"] == pytest.approx(0.5)
    assert of["predicted classes"]["statistic"] == pytest.approx(0.5)
    assert {one["name"] for one in found.found} == {"accuracy", "predicted classes"}
    assert "2 of 3 quantities" in found.verdict()
    assert found.about["new"] == {"data": "x", "n": 60, "units": 60, "unreadable": 0}


def test_an_image_is_described(tmp_path):
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:, 30:] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "half.png")
    found = describe_image(tmp_path / "half.png")
    assert (found["width"], found["height"]) == (60, 30)
    assert found["brightness"] == pytest.approx(76 / 2, abs=1)
    assert found["saturation"] == pytest.approx(255 / 2, abs=3)


def test_darker_images_are_noticed_and_a_folder_without_labels_will_do(train, colours, tmp_path, capsys):
    run = train().path
    how = {"permutations": 300, "workers": 0, "device": "cpu"}
    same = hemf.drift(str(run), str(colours / "val"), **how)
    assert same.about["new"]["labelled"]
    assert not [one for one in same.found if one["kind"] == "input"]
    dark = tmp_path / "dark"
    shutil.copytree(colours / "test" / "red", dark)
    for file in dark.iterdir():
        Image.open(file).point(lambda level: level // 2).save(file)
    (dark / "broken.png").write_bytes(b"no image")
    capsys.readouterr()
    found = hemf.drift(str(run), str(dark), out=str(tmp_path / "out"), **how)
    assert {"brightness"} <= {one["name"] for one in found.found}
    assert found.about["new"]["unreadable"] == 1
    assert "accuracy" not in {one["name"] for one in found.tests}
    assert json.loads((tmp_path / "out" / "drift.json").read_text()) == json.loads(
        json.dumps(found.to_json())
    )
    assert "differ beyond chance" in (tmp_path / "out" / "drift.html").read_text()
    assert "brightness" in capsys.readouterr().out
    with pytest.raises(HemfError, match="--data"):
        hemf.drift(str(run))
    with pytest.raises(HemfError, match="at least 100"):
        hemf.drift(str(run), str(dark), permutations=5)
