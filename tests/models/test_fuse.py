"""The inference form gives the model's outputs, with fewer layers, and leaves the model alone."""

import pytest
import timm
import torch

from hemf.models import fuse


def lively(name: str, **kwargs) -> torch.nn.Module:
    """A model whose batch norms do something, in eval mode."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, **kwargs).eval()
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            for tensor in (norm.weight, norm.running_var):
                torch.nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (norm.bias, norm.running_mean):
                torch.nn.init.normal_(tensor, std=0.3)
    return model


def norms(model: torch.nn.Module) -> int:
    return sum(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize(
    ("name", "kwargs", "left"),
    [
        ("hemf_nano", {}, 0),
        ("hemf_nano", {"in_chans": 1, "branches": "global"}, 0),
        ("hemf_nano", {"selection": "dynamic"}, 0),
        ("test_resnet", {}, 1),
        ("came", {"dims": (8, 16, 32, 64), "num_heads": (1, 1, 1, 1)}, 0),
        ("test_vit", {}, 0),
    ],
)
def test_outputs_stay_equal_without_batch_norms(name, kwargs, left):
    model = lively(name, **kwargs)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fused = fuse(model)
    size = model.pretrained_cfg["input_size"]
    x = torch.randn(2, kwargs.get("in_chans", size[0]), *size[1:])
    with torch.inference_mode():
        torch.testing.assert_close(fused(x), model(x), rtol=1e-5, atol=1e-5)
    assert norms(fused) == left
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_stems_and_projections_become_one():
    fused = fuse(lively("hemf_nano"))
    names = [name for name, _ in fused.named_parameters()]
    assert not [name for name in names if "q_proj" in name or "local_stem" in name]
    assert sum(name.endswith("qkv.weight") for name in names) == 12
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(fused(x), lively("hemf_nano")(x), rtol=1e-5, atol=1e-5)


def test_position_weights_are_cached():
    fused = fuse(lively("pervit_medium", dims=(16, 16, 16, 16), depths=(1, 1, 1, 1), num_heads=2))
    assert fused.distance_embed.cached_grid == [14, 14]


def test_a_model_that_folding_would_change_is_refused():
    """The shortcut of a pre-activation block reads the convolution before its norm."""

    class Preactivation(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)

        def forward(self, x):
            x = self.conv(x)
            return (x + self.norm(x)).mean((2, 3))

    torch.manual_seed(0)
    model = Preactivation()
    torch.nn.init.normal_(model.norm.running_mean)
    with pytest.raises(ValueError, match="other outputs when folded"):
        fuse(model)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.bfloat16, 0.1)])
def test_keeps_the_type_of_the_model(dtype, tolerance):
    model = lively("hemf_nano").to(dtype)
    fused, x = fuse(model), torch.randn(2, 3, 32, 32, dtype=dtype)
    with torch.inference_mode():
        found, expected = fused(x), model(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_wants_a_model_that_classifies():
    features = timm.create_model("test_resnet", features_only=True)
    with pytest.raises(ValueError, match="gives no single tensor"):
        fuse(features)
