"""Test-time augmentation: views, their mean, and what the verbs make of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

import hemf
from hemf.cli.app import main
from hemf.core.errors import HemfError
from hemf.core.precision import float32_logits
from hemf.data.preprocessing import InputSpec
from hemf.inference.load import load_trained
from hemf.inference.tta import VIEWS, with_views
from hemf.models.hub import add_to_config
from hemf.tasks import MULTICLASS

PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu"}
FLAGS = ["--precision", "fp32", "--workers", "0", "--device", "cpu"]
SPEC = InputSpec((3, 32, 32), 1.0, "squash", "bilinear", (0.5,) * 3, (0.5,) * 3)


def test_the_views_are_different_and_the_groups_closed() -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    for name, count in {"none": 1, "flip": 2, "flips": 4, "dihedral": 8}.items():
        seen = {tuple(view(image).flatten().tolist()) for view in VIEWS[name]}
        assert len(VIEWS[name]) == len(seen) == count
        again = {tuple(two(one(image)).flatten().tolist()) for one in VIEWS[name] for two in VIEWS[name]}
        assert again == seen


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_softmax_of_the_outputs_is_the_mean_of_the_views_probabilities(precision: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3).eval()
    images = torch.randn(4, 3, 32, 32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        found = float32_logits(with_views(model, "flips", SPEC, MULTICLASS), images)
        flips = [(), (3,), (2,), (2, 3)]
        views = [float32_logits(model, images.flip(dims)).double().softmax(1) for dims in flips]
    assert found.dtype == torch.float32
    assert views[0].sub(views[1]).abs().max() > 1e-6
    torch.testing.assert_close(
        MULTICLASS.probabilities(found), torch.stack(views).mean(0), rtol=1e-6, atol=1e-7
    )


def test_the_outputs_stay_finite_where_a_network_is_certain() -> None:
    class Certain(torch.nn.Module):
        def forward_features(self, images):
            return images

        def forward_head(self, features):
            return torch.tensor([[0.0, 5e3]]).expand(len(features), 2)

    outputs = float32_logits(with_views(Certain(), "flip", SPEC, MULTICLASS), torch.zeros(2, 3, 32, 32))
    assert torch.isfinite(outputs).all()
    assert MULTICLASS.probabilities(outputs)[:, 1].tolist() == [1.0, 1.0]


def test_networks_with_several_maps_are_averaged_too() -> None:
    model = timm.create_model("crossvit_9_240", num_classes=2).eval()  # two branches
    images = torch.randn(1, 3, 240, 240)
    with torch.inference_mode():
        found = float32_logits(with_views(model, "flip", SPEC, MULTICLASS), images).softmax(1)
        views = torch.stack([model(images), model(images.flip(3))]).softmax(-1).mean(0)
    torch.testing.assert_close(found, views)


def test_what_cannot_be_is_one_line(made_run: Path) -> None:
    wide = InputSpec((3, 32, 48), 1.0, "squash", "bilinear", (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(HemfError, match=r"turns images, but the model's input is 32 x 48; give --tta flips$"):
        with_views(torch.nn.Identity(), "dihedral", wide, MULTICLASS)
    wrong: Any = "flop"
    with pytest.raises(HemfError, match=r"^no test-time augmentation 'flop'; give one of none, flip"):
        hemf.load(made_run, tta=wrong).predict(np.zeros((8, 8), np.uint8), workers=0)


def test_evaluate_and_predict_agree_and_name_it(made_run: Path, tmp_path: Path, capsys) -> None:
    plain = hemf.evaluate(str(made_run), resamples=0, **PLAIN)
    assert "Test-time augmentation" not in capsys.readouterr().out
    found = hemf.evaluate(str(made_run), tta="flip", resamples=0, **PLAIN)
    assert "Test-time augmentation flip: the mean over 2 views" in " ".join(capsys.readouterr().out.split())
    assert "Test-time augmentation flip" in (found.folder / "report.html").read_text("utf-8")
    saved = json.loads((found.folder / "metrics.json").read_text())
    assert (plain.report["tta"], saved["tta"]) == ("none", "flip")
    files = [tmp_path / "images" / path for path in found.predictions.paths]
    predicted = hemf.load(made_run, "fp32", "cpu", "flip").predict(files, workers=0)
    rows = np.array([list(one.probabilities.values()) for one in predicted])
    assert np.array_equal(rows, found.predictions.probabilities)
    assert not np.array_equal(rows, plain.predictions.probabilities)


def test_a_calibration_brings_its_views_and_others_are_warned_of(
    made_run: Path, tmp_path: Path, capsys
) -> None:
    own = hemf.calibrate(str(made_run), coverage=0.8, tta="flips", **PLAIN)
    assert own.fitted_on["tta"] == load_trained(made_run / "model").tta == "flips"
    found = hemf.evaluate(str(made_run), resamples=0, **PLAIN)
    assert found.report["tta"] == "flips"
    capsys.readouterr()
    image = str(next((tmp_path / "images").iterdir()))
    assert main(["predict", str(made_run), image, *FLAGS]) == 0
    assert "--tta" not in capsys.readouterr().err
    words = "--tta is none, but temperature, prediction sets and operating points were fitted under flips"
    assert main(["predict", str(made_run), image, "--tta", "none", *FLAGS]) == 0
    assert capsys.readouterr().err.count(words) == 1
    other = hemf.evaluate(str(made_run), tta="none", resamples=0, **PLAIN)
    assert " ".join(capsys.readouterr().out.split()).count(words) == 1
    assert words in (other.folder / "report.html").read_text("utf-8")
    again = hemf.calibrate(str(made_run), coverage=0.8, tta="none", **PLAIN)
    assert again.fitted_on["tta"] == load_trained(made_run / "model").tta == "none"


def test_an_unknown_name_in_a_strangers_model_is_a_damaged_calibration(made_run: Path, capsys) -> None:
    own = hemf.calibrate(str(made_run), coverage=0.8, **PLAIN).to_config()
    for bad in ("spin", ["flip"]):
        damaged = own | {"fitted_on": own["fitted_on"] | {"tta": bad}}
        add_to_config(made_run / "model", "hemf", {"calibration": damaged})
        assert main(["evaluate", str(made_run), *FLAGS]) == 2
        assert "is damaged" in capsys.readouterr().err


def test_views_give_the_mean_of_their_unfamiliarity():
    class LeftHalf(torch.nn.Module):
        """Sees nothing but how bright the left half is."""

        def forward_features(self, images):
            return images[..., : images.shape[-1] // 2].mean((1, 2, 3))

        def forward_head(self, seen):
            return torch.stack([torch.zeros_like(seen), seen * 0 + 1, seen], 1)

    images = torch.randn(4, 3, 32, 32)
    found = float32_logits(with_views(LeftHalf(), "flip", SPEC, MULTICLASS, scored=True), images)
    assert found.shape == (4, 3)
    torch.testing.assert_close(found[:, 2], images.mean((1, 2, 3)))
    torch.testing.assert_close(found[:, :2].softmax(1), torch.tensor([[0.0, 1.0]]).softmax(1).expand(4, 2))
