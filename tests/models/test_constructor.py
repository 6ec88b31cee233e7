"""Arguments from a file are a network's own, and its size is known before memory is taken."""

import pytest
import timm
from torch import nn

import hemf.models  # noqa: F401  registers the models
from hemf.models.constructor import LOADING, check_arguments, network_arguments, shapes_of


@pytest.mark.parametrize(
    "name", ["hemf_nano", "came", "conformer_base_patch16", "test_resnet", "test_vit", "levit_128"]
)
def test_a_network_s_own_arguments_are_taken(name):
    check_arguments(name, {"in_chans": 1} if name != "conformer_base_patch16" else {})
    for argument in LOADING - {"out_indices"}:
        with pytest.raises(ValueError, match="no argument of the network"):
            check_arguments(name, {argument: 1})


def test_arguments_are_plain_and_moderate():
    check_arguments("hemf_nano", {"dims": [8, 16, 32, 64], "branches": "local", "drop_path_rate": 0.1})
    for value in (
        10**9,
        [10**9],
        float("nan"),
        "a/b",
        "x" * 99,
        [1] * 999,
        [[[[[1]]]]],
        {"a": 10**9},
        object(),
    ):
        with pytest.raises(ValueError, match="dims of hemf_nano"):
            check_arguments("hemf_nano", {"dims": value})
    with pytest.raises(ValueError, match="img_size"):
        check_arguments("test_vit", {"img_size": 5000})


@pytest.mark.parametrize("name", ["hemf-nano", "hf-hub:a/b", "local-dir:/x", 7, None, ["hemf_nano"]])
def test_the_architecture_is_a_registered_name(name):
    with pytest.raises(ValueError, match="unknown architecture"):
        check_arguments(name, {})


@pytest.mark.parametrize(
    "name", ["hemf_nano", "pervit_medium", "biformer_base", "test_efficientnet", "test_vit"]
)
def test_shapes_without_memory_are_those_of_the_network(name):
    tensors = timm.create_model(name, num_classes=3).state_dict()
    real = {key: tuple(value.shape) for key, value in tensors.items()}
    elements = sum(value.numel() for value in tensors.values())
    assert shapes_of(name, {"num_classes": 3}, len(real), elements) == real


@pytest.mark.parametrize("depths", [[50_000] * 4, [1, 1, 1, 50_000]])
def test_a_network_larger_than_its_weights_is_stopped_while_it_is_counted(depths):
    with pytest.raises(ValueError, match="has more"):
        shapes_of("hemf_nano", {"num_classes": 3, "local_depths": depths}, 100, 10**6)
    nn.Linear(2, 2)  # the counting has ended


def test_where_weights_come_from_is_no_part_of_a_network():
    assert network_arguments({"dims": [8], "cache_dir": "x", "pretrained_cfg_overlay": {}}) == {"dims": [8]}
