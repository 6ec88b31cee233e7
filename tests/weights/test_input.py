"""The input follows the weights, but for what somebody gave."""

import json

import pytest

from hemf import HemfError, RunConfig
from hemf.weights.input import follow, input_line


def test_input_and_model_are_those_of_the_weights():
    config = follow(RunConfig.of(init="lite2"), {"init"})
    assert (config.model, config.image_size) == ("tf_efficientnet_lite2", 260)
    assert (config.interpolation, config.crop_pct, config.mean) == ("bicubic", 0.89, (0.5, 0.5, 0.5))
    assert "260 x 260 pixels" in input_line(config)


def test_what_is_given_stays():
    given = {"init": "lite0", "image_size": 96, "mean": (0.1, 0.2, 0.3), "model": "resnet18"}
    config = follow(RunConfig.of(**given), given.keys())
    assert (config.model, config.image_size, config.mean) == ("resnet18", 96, (0.1, 0.2, 0.3))
    assert config.interpolation == "bicubic"


def test_pretrained_follows_timm():
    config = follow(RunConfig.of(model="resnet50.a1_in1k", pretrained=True), {"model", "pretrained"})
    assert config.mean == pytest.approx((0.485, 0.456, 0.406))


def test_a_run_s_own_input_is_taken_over(made_run):
    config = follow(RunConfig.of(init=str(made_run)), {"init"})
    assert (config.model, config.image_size) == ("test_resnet", 32)


@pytest.mark.parametrize(
    ("name", "value"), [("input_size", "3 32 32"), ("crop_pct", "all"), ("mean", [float("inf")] * 3)]
)
def test_an_input_that_is_none_is_refused_in_a_line(made_run, name, value):
    config = json.loads((made_run / "model" / "config.json").read_text())
    config["pretrained_cfg"][name] = value
    (made_run / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(HemfError, match=f"{name} of the model's input is"):
        follow(RunConfig(init=str(made_run)), ())
