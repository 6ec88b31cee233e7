"""``hemf stress``: what breaks, measured on a model that sees nothing but colour."""

import json

import numpy as np
import pytest

import hemf
from hemf.core.errors import HemfError

HOW = {"device": "cpu", "workers": 0, "precision": "fp32", "resamples": 200}


def test_what_breaks_a_model_of_colours_is_what_takes_colour(train, capsys):
    run = train(epochs=20).path
    found = hemf.stress(str(run), split="train", corruptions=["saturation", "rotation", "jpeg"], **HOW)
    assert found.clean["value"] > 0.75, "else there is nothing to lose"
    first = found.order[0]
    assert first["name"] == "saturation"
    assert first["worst"]["accuracy"]["value"] < 0.6
    assert first["breaks"]["change"]["p_corrected"] < 0.05
    rotated = found.corruptions["rotation"]["steps"]
    assert all(step["change"]["p_corrected"] > 0.05 for step in rotated)
    for of in found.corruptions.values():
        for step in of["steps"]:
            low, high = step["accuracy"]["ci95"]
            assert low <= step["accuracy"]["value"] <= high
            change = step["accuracy"]["value"] - found.clean["value"]
            assert step["change"]["value"] == pytest.approx(change)
            assert step["warned"]["n"] == found.about["n"] == 50
    folder = run / "evaluation" / "train"
    assert json.loads((folder / "stress.json").read_text()) == json.loads(json.dumps(found.to_json()))
    page = (folder / "stress.html").read_text()
    assert "What breaks first" in page
    assert "saturation" in page
    assert (folder / "stress.svg").is_file()
    assert "breaks at step" in capsys.readouterr().out


def test_bad_options_are_one_line(made_run):
    with pytest.raises(HemfError, match="no corruption 'blurr'"):
        hemf.stress(str(made_run), corruptions=["blurr"], **HOW)
    with pytest.raises(HemfError, match="at least 100"):
        hemf.stress(str(made_run), **HOW | {"resamples": 10})


def test_a_limit_draws_the_same_images_and_groups_widen_nothing_by_themselves(made_run):
    one, two = (
        hemf.stress(str(made_run), split="all", corruptions=["noise"], limit=10, **HOW) for _ in range(2)
    )
    assert one == two
    assert one.about["n"] == 10
    assert np.isfinite(one.clean["ci95"]).all()
