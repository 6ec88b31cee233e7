"""Grad-CAM++: the paper's equation, evidence found where it lies, and a model left as it was."""

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

import hemf.models  # noqa: F401  registers the models
from hemf.core.errors import HemfError
from hemf.explanation.gradcam import heat_maps, stage_heat_maps
from hemf.explanation.layers import default_layer, stage_layers

ZOO = {
    "hemf_nano": {},
    "conformer_base_patch16": {"dims": [32, 64, 128], "depths": [2, 1, 2], "embed_dim": 36, "num_heads": 3},
    "convnext_base": {"dims": [16, 32, 64, 128], "depths": [1, 1, 1, 1]},
    "pervit_medium": {
        "stem_dims": [8, 16, 24],
        "dims": [24, 32, 40, 48],
        "depths": [1, 1, 1, 1],
        "num_heads": 4,
    },
    "focalnet_tiny_srf": {"mlp_ratio": 0.25},  # timm fixes its width and depth
    "uniformer_base": {"dims": [16, 32, 64, 64], "depths": [1, 1, 1, 1], "head_dim": 32},
    "biformer_base": {"dims": [16, 32, 64, 128], "depths": [1, 1, 1, 1], "head_dim": 16},
    "hifuse_tiny": {"dims": [12, 24, 48, 96], "num_heads": [1, 2, 4, 8]},
    "hifuse_small": {"dims": [12, 24, 48, 96], "num_heads": [1, 2, 4, 8]},
    "hifuse_base": {"dims": [12, 24, 48, 96], "num_heads": [1, 2, 4, 8]},
    "came": {"dims": [12, 24, 48, 96], "num_heads": [1, 2, 4, 8]},
}
LAST = {"hemf_nano": "stages.3.fusion", "pervit_medium": "blocks.3", "focalnet_tiny_srf": "layers.3"}


class Bright(nn.Module):
    """Class 1 is brightness, class 0 darkness: mean of relu(x), and of relu(-x), in one of three layouts."""

    def __init__(self, layout: str, inplace: bool = False) -> None:
        super().__init__()
        self.layout = layout
        self.pool = nn.AvgPool2d(8)
        self.channels = nn.Conv2d(3, 2, 1, bias=False)
        self.body = nn.Identity()
        self.relu = nn.ReLU(inplace)
        with torch.no_grad():
            self.channels.weight.copy_(torch.tensor([[-1.0] * 3, [1.0] * 3])[..., None, None])

    def forward(self, x: Tensor) -> Tensor:
        maps = self.channels(self.pool(x))
        if self.layout == "maps":
            return self.relu(self.body(maps)).mean((2, 3))
        if self.layout == "channels last":
            return self.relu(self.body(maps.permute(0, 2, 3, 1))).mean((1, 2))
        tokens = maps.flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.full_like(tokens[:, :1], 9.0), tokens], dim=1)
        if self.layout == "a tuple":
            return self.relu(self.body((tokens[:, 0], tokens))[1][:, 1:]).mean(1)
        return self.relu(self.body(tokens)[:, 1:]).mean(1)


def spotted(rows: slice, columns: slice, value: float, size: tuple[int, int] = (64, 96)) -> Tensor:
    image = torch.zeros(1, 3, *size)
    image[..., rows, columns] = value
    return image


@pytest.mark.parametrize("method", ["gradcam++", "gradcam"])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layout", ["maps", "channels last", "tokens", "a tuple"])
def test_heat_lies_on_the_evidence_of_the_class_asked_for(layout, inplace, method):
    model = Bright(layout, inplace)
    bright = spotted(slice(0, 16), slice(72, 96), 1.0)
    image = bright + spotted(slice(48, 64), slice(0, 16), -1.0)
    top_right, bottom_left = np.zeros((8, 12)), np.zeros((8, 12))
    top_right[:2, 9:], bottom_left[6:, :2] = 1, 1
    np.testing.assert_allclose(heat_maps(model, image, [1], "body", method), top_right[None], atol=1e-6)
    np.testing.assert_allclose(heat_maps(model, image, [0], "body", method), bottom_left[None], atol=1e-6)
    both = heat_maps(model, torch.cat([image, image]), [0, 1], "body", method)
    np.testing.assert_allclose(both, np.stack([bottom_left, top_right]), atol=1e-6)


def test_without_a_target_it_is_the_predicted_class():
    model, image = Bright("maps"), spotted(slice(0, 16), slice(72, 96), 1.0)
    assert model(image).argmax().item() == 1
    np.testing.assert_array_equal(heat_maps(model, image, None, "body"), heat_maps(model, image, [1], "body"))


def test_no_evidence_is_no_heat():
    model = Bright("maps")
    assert not heat_maps(model, spotted(slice(0, 16), slice(72, 96), 1.0), [0], "body").any()


def paper_weights(activation: Tensor, gradient: Tensor) -> Tensor:
    """Equations 9 and 19 of Chattopadhay et al. for Y = exp(S), place by place, up to the factor exp(S)."""
    weights = torch.zeros(activation.shape[0], dtype=torch.float64)
    for k in range(activation.shape[0]):
        total = activation[k].sum()
        for g in gradient[k].flatten():
            if g != 0:
                alpha = g**2 / (2 * g**2 + total * g**3)
                weights[k] += alpha * max(g, 0)
    return weights


def test_maps_of_a_network_with_relu_are_the_papers():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 3, 2), nn.Flatten(), nn.LazyLinear(3)
    )
    image = torch.randn(1, 3, 9, 7)
    model(image)
    activation = model[1](model[0](image)).detach().requires_grad_()
    logit = model[4](model[3](model[2](activation)))[0, 2]
    gradient = torch.autograd.grad(logit, activation)[0]
    weights = paper_weights(activation[0].double(), gradient[0].double())
    heat = (weights[:, None, None] * activation[0].double()).sum(0).relu().detach().numpy()
    np.testing.assert_allclose(heat_maps(model, image, [2], "1")[0], heat / heat.max(), rtol=1e-4, atol=1e-6)


def test_gradcam_sets_off_what_speaks_against_the_class():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Flatten(), nn.LazyLinear(3))
    image = torch.randn(1, 3, 9, 7)
    model(image)
    activation = model[0](image).detach().requires_grad_()
    gradient = torch.autograd.grad(model[2](model[1](activation))[0, 2], activation)[0]
    heat = (gradient.mean((2, 3), keepdim=True) * activation).sum(1).relu()[0].detach().numpy()
    found = heat_maps(model, image, [2], "0", "gradcam")[0]
    np.testing.assert_allclose(found, heat / heat.max(), rtol=1e-4, atol=1e-6)
    assert abs(found - heat_maps(model, image, [2], "0")[0]).max() > 0.1


@pytest.mark.parametrize("name", ZOO)
def test_every_model_of_the_zoo_has_maps_for_images_that_are_not_square(name):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3, **ZOO[name])
    found = heat_maps(model, torch.randn(2, 3, 64, 96), [0, 2])
    stages = stage_heat_maps(model, torch.randn(2, 3, 64, 96), [0, 2])
    reduction = model.feature_info[-1]["reduction"]
    assert found.dtype == np.float32
    assert found.shape == (2, 64 // reduction, 96 // reduction)
    assert all(len(maps) == 4 for maps in stages.values())
    for maps in (found, *(maps for branch in stages.values() for maps in branch)):
        assert maps.min() >= 0
        assert all(most in (0, 1) for most in maps.max((1, 2)))
    assert max(maps.max() for branch in stages.values() for maps in branch) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hemf_base", "focalnet_base_srf", *ZOO])
def test_every_published_size_has_maps(name):
    model = timm.create_model(name, num_classes=2)
    reduction = model.feature_info[-1]["reduction"]
    assert heat_maps(model, torch.randn(1, 3, 64, 96)).shape == (1, 64 // reduction, 96 // reduction)


def test_the_default_is_the_last_fusion_and_the_branches_are_named():
    model = timm.create_model("hemf_nano", num_classes=3)
    assert default_layer(model) == "stages.3.fusion"
    assert stage_layers(model) == {
        "local": [f"stages.{i}.local_blocks" for i in range(4)],
        "global": [f"stages.{i}.global_blocks" for i in range(4)],
        "fusion": [f"stages.{i}.fusion" for i in range(4)],
    }
    came = timm.create_model("came", num_classes=3, **ZOO["came"])
    assert list(stage_layers(came)) == ["local", "global", "external", "fusion"]


def test_one_branch_alone_has_maps_at_its_last_stage():
    model = timm.create_model("hemf_nano", num_classes=3, branches="local")
    images = torch.randn(1, 3, 64, 64)
    assert default_layer(model) == "stages.3"
    np.testing.assert_array_equal(
        heat_maps(model, images), heat_maps(model, images, layer="stages.3.local_blocks")
    )


def test_stages_agree_with_layers_taken_one_by_one():
    torch.manual_seed(0)
    model = timm.create_model("hemf_nano", num_classes=3)
    images = torch.randn(2, 3, 64, 64)
    stages = stage_heat_maps(model, images)
    for branch, layers in stage_layers(model).items():
        for layer, maps in zip(layers, stages[branch], strict=True):
            np.testing.assert_allclose(heat_maps(model, images, layer=layer), maps, atol=1e-5)


def test_a_class_token_is_read_where_patches_still_matter():
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=3)
    assert default_layer(model) == "blocks.5.norm1"
    images = torch.randn(1, 3, 160, 160)
    assert heat_maps(model, images).max() == 1
    with pytest.raises(HemfError, match=r"no evidence at layer 'blocks.5': .* such as blocks\.5\.norm1"):
        heat_maps(model, images, layer="blocks.5")


def test_a_model_in_training_and_inference_mode_gives_the_same_and_stays_as_it_was():
    torch.manual_seed(0)
    model = timm.create_model("hemf_nano", num_classes=3, drop_rate=0.5)
    images = torch.randn(2, 3, 64, 64)
    expected = heat_maps(model.eval(), images)
    model.train().stages[0].eval()
    model.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        made_here = images * 1
        found = heat_maps(model, made_here)
        assert torch.is_inference_mode_enabled()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert model.training
    assert not model.stages[0].training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_autocast_does_not_reach_in():
    torch.manual_seed(0)
    model = timm.create_model("hemf_nano", num_classes=3)
    images = torch.randn(1, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        inside = heat_maps(model, images)
    np.testing.assert_array_equal(inside, heat_maps(model, images))


def test_cached_position_weights_change_nothing():
    torch.manual_seed(0)
    model = timm.create_model("pervit_medium", num_classes=3, **ZOO["pervit_medium"]).eval()
    images = torch.randn(1, 3, 64, 96)
    plain = heat_maps(model, images)
    model.cache_position_weights((64, 96))
    np.testing.assert_allclose(heat_maps(model, images), plain, atol=1e-5)


def test_a_wrong_layer_is_an_error_that_helps():
    model = timm.create_model("hemf_nano", num_classes=3)
    images = torch.randn(1, 3, 64, 64)
    with pytest.raises(HemfError, match=r"no layer 'stages.3.fuson'; near names: .*stages\.3\.fusion"):
        heat_maps(model, images, layer="stages.3.fuson")
    with pytest.raises(HemfError, match=r"near names: stages\.3\.fusion"):
        heat_maps(model, images, layer="???????")
    with pytest.raises(
        HemfError, match=r"'head\.fc' gives no map of the image \(1x3\); .* such as stages\.3\.fusion"
    ):
        heat_maps(model, images, layer="head.fc")
    assert not any(module._forward_hooks for module in model.modules())
    model.unused = nn.Identity()
    with pytest.raises(HemfError, match="never runs its layer unused"):
        heat_maps(model, images, layer="unused")


@pytest.mark.parametrize("targets", [[3], [-1], [0, 1], []])
def test_a_class_that_is_none_is_an_error(targets):
    model = timm.create_model("hemf_nano", num_classes=3)
    with pytest.raises(HemfError, match="not 1 class from 0 to 2"):
        heat_maps(model, torch.randn(1, 3, 64, 64), targets)


def test_weights_that_are_not_finite_are_an_error():
    model = Bright("maps")
    nn.init.constant_(model.channels.weight, float("nan"))
    with pytest.raises(HemfError, match="not finite"):
        heat_maps(model, torch.ones(1, 3, 16, 16), [0], "body")


def test_too_large_a_batch_is_an_error_that_says_so(monkeypatch):
    def too_large(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = timm.create_model("test_resnet", num_classes=3)
    monkeypatch.setattr(model, "forward", too_large)
    with pytest.raises(HemfError, match=r"heat maps of 2 images do not fit .* --batch-size"):
        heat_maps(model, torch.zeros(2, 3, 32, 32))
