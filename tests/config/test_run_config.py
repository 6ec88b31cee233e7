import dataclasses

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hemf import HemfError, RunConfig
from hemf.config.run_config import RECIPES, read_recipe, run_parser


def test_the_defaults_are_the_papers_recipe():
    assert RunConfig.of("paper") == RunConfig()


def test_the_papers_recipe_is_that_of_table_5():
    config = RunConfig.of("paper")
    assert (config.optimizer, config.lr, config.weight_decay, config.epochs) == ("adamw", 1e-4, 0.01, 150)
    assert (config.batch_size, config.loss, config.monitor) == (32, "cross_entropy", "accuracy")
    assert (config.warmup_epochs, config.warmup_factor, config.min_lr_factor) == (1.0, 1e-3, 1e-2)
    assert (config.mixup, config.cutmix, config.label_smoothing, config.ema) == (0, 0, 0, None)


@pytest.mark.parametrize("name", ["mixup", "epochs", "data", "probe", "crop_scale", "model_args", "loss"])
def test_an_option_without_a_value_is_refused(name):
    with pytest.raises(HemfError, match=f"--{name.replace('_', '-')} has no value"):
        RunConfig.of(**{name: None})


def test_an_option_that_may_be_empty_is_taken_without_a_value():
    assert RunConfig.of(name=None, ema=None, init=None) == RunConfig()


@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_is_complete_and_valid(name):
    assert set(read_recipe(name)) <= {option.name for option in dataclasses.fields(RunConfig.of(name))}


@settings(deadline=None, max_examples=30)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(1, 1000),
            "lr": st.floats(1e-9, 1, allow_nan=False),
            "image_size": st.integers(1, 512) | st.tuples(st.integers(1, 512), st.integers(1, 512)),
            "mean": st.tuples(*[st.floats(0, 1)] * 3),
            "name": st.none() | st.text(st.characters(categories=["L", "N"]), min_size=1),
            "ema": st.none() | st.floats(0, 1),
            "model_args": st.dictionaries(
                st.text(st.characters(categories=["Ll"]), min_size=1), st.integers()
            ),
            "devices": st.integers(1, 8) | st.just("auto"),
        },
    )
)
def test_what_is_saved_is_read_back(tmp_path_factory, options):
    config = RunConfig(**options)
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    config.save(path)
    assert RunConfig.of(str(path)) == config


def test_options_go_over_the_recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("lr: 1.0e-3\nepochs: 7\n")
    config = RunConfig.of(str(path), epochs=9)
    assert (config.lr, config.epochs, config.batch_size) == (1e-3, 9, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "no option 'epoch' in a run; did you mean epochs"),
        ({"zzz": 3}, "no option 'zzz' in a run; see hemf train --help"),
        ({"epochs": "many"}, "bad option in a run: --epochs is many; give a whole number"),
        ({"precision": "fp8"}, "bad option in a run: --precision is fp8; give one of auto, fp32, bf16, fp16"),
        ({"epochs": 0}, "--epochs is 0; give at least 1"),
        ({"lr": -1.0}, "--lr is -1; give at least 0"),
        ({"ema": 1.5}, "--ema is 1.5; give at least 0 and at most 1"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"crop_scale": (0.5, 0.1)}, "--crop-scale is 0.5,0.1; give the smaller number first"),
        ({"crop_pct": 0.0}, "--crop-pct is 0; give above 0 and at most 1"),
        ({"device": "gpu"}, "--device is gpu; give cpu, cuda, cuda:1 ..., mps or auto"),
        ({"device": "cpu:1"}, "--device is cpu:1; give cpu"),
        ({"image_size": (32, 0)}, "--image-size is 32,0; give at least 1"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    with pytest.raises(HemfError, match=message) as caught:
        RunConfig.of("paper", **options)
    assert "\n" not in str(caught.value)


def test_bad_recipes_are_named(tmp_path):
    with pytest.raises(HemfError, match=r"no recipe 'papper'; give one of .*paper"):
        RECIPES.path("papper")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(HemfError, match="holds no 'option: value' pairs"):
        read_recipe(str(tmp_path / "list.yaml"))
    (tmp_path / "broken.yaml").write_text("lr: [1\n")
    with pytest.raises(HemfError, match=r"broken\.yaml is not YAML"):
        read_recipe(str(tmp_path / "broken.yaml"))
    (tmp_path / "empty.yaml").write_text("")
    assert read_recipe(str(tmp_path / "empty.yaml")) == {}


def test_input_size():
    assert RunConfig(image_size=64).input_size == (3, 64, 64)
    assert RunConfig(image_size=(32, 64), in_chans=1).input_size == (1, 32, 64)


def test_every_option_is_a_documented_flag():
    text = " ".join(run_parser().format_help().split())
    for option in dataclasses.fields(RunConfig):
        assert f"--{option.name} " in text


def test_what_the_yaml_says_is_what_a_person_would_write(tmp_path):
    RunConfig(image_size=(32, 48)).save(tmp_path / "c.yaml")
    values = yaml.safe_load((tmp_path / "c.yaml").read_text())
    assert values["image_size"] == [32, 48]
    assert list(values)[:2] == ["data", "model"]


@pytest.mark.parametrize(
    ("device", "accelerator", "devices"),
    [("cpu", "cpu", 1), ("cuda", "cuda", 1), ("cuda:1", "cuda", "1,"), ("auto", "auto", "auto")],
)
def test_one_device_is_given_as_to_the_other_verbs(tmp_path, device, accelerator, devices):
    config = RunConfig.of(device=device)
    assert (config.accelerator, config.devices) == (accelerator, devices)
    config.save(tmp_path / "config.yaml")
    again = RunConfig.of(str(tmp_path / "config.yaml"))
    assert again == config
    assert again.device == ("auto" if device == "cuda" else device)
