"""Weights into networks, by name and shape."""

import pytest
import timm
import torch

from hemf import HemfError
from hemf.weights import Weights
from hemf.weights.load import load_into


def weights_of(classes=("a", "b"), **arguments) -> Weights:
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=len(classes), **arguments)
    return Weights("elsewhere", model.state_dict(), "test_resnet", classes=classes)


def test_the_head_is_loaded_where_the_classes_agree():
    weights, same = weights_of(), timm.create_model("test_resnet", num_classes=2)
    loaded = load_into(same, weights, ["a", "b"])
    assert loaded.left == ()
    assert all(torch.equal(value, weights.tensors[name]) for name, value in same.state_dict().items())
    swapped = timm.create_model("test_resnet", num_classes=2)
    loaded = load_into(swapped, weights, ["b", "a"])
    assert set(loaded.head) == {"fc.weight", "fc.bias"}
    assert "a new head begins at zero (fc.weight" in str(loaded)
    assert not swapped(torch.randn(2, 3, 64, 64)).any()


def test_what_does_not_fit_is_left_and_named():
    weights = weights_of()
    first = next(name for name, value in weights.tensors.items() if value.dim() == 4)
    other = {**weights.tensors, first: torch.zeros(1, 1, 1, 1), "extra.weight": torch.zeros(2, 2)}
    loaded = load_into(timm.create_model("test_resnet", num_classes=2), Weights("x", other), ["a", "b"])
    assert first in loaded.left
    assert set(loaded.dropped) >= {first, "extra.weight"}
    assert f"({first}" in str(loaded)


def test_a_first_convolution_is_adapted_to_grey():
    weights, grey = weights_of(), timm.create_model("test_resnet", num_classes=2, in_chans=1)
    loaded = load_into(grey, weights, ["a", "b"])
    name = f"{grey.pretrained_cfg['first_conv']}.weight"
    assert name in loaded.taken
    assert torch.allclose(grey.state_dict()[name], weights.tensors[name].sum(1, keepdim=True))


def test_nothing_that_fits_is_an_error():
    with pytest.raises(
        HemfError, match=r"none of the weights from elsewhere fits .* they are of test_resnet"
    ):
        load_into(timm.create_model("test_vit", num_classes=2), weights_of(), ["a", "b"])
