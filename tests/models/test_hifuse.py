"""HiFuse: the published numbers and what is its own."""

import json

import pytest
import timm
import torch
from torch import nn
from zoo import Probe, authors_checkpoint, error, golden_numbers, rule, shapes_alone, with_constants

import hemf.models  # noqa: F401  registers the models
from hemf.models.blocks.layers import tokens
from hemf.models.blocks.window import WindowAttention
from hemf.models.convert import convert
from hemf.models.hifuse import HFFFusion

NAMES = ["hifuse_tiny", "hifuse_small", "hifuse_base"]


@pytest.mark.golden
@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])]
)
def test_reproduces_the_published_numbers(golden, name):
    model = timm.create_model(name, num_classes=7)
    model.load_state_dict(convert(with_constants(authors_checkpoint(golden, name)), name))
    numbers, probe = golden_numbers(golden, name), Probe()
    for number, stage in enumerate(model.eval().stages, start=1):
        probe.watch(f"local_stage{number}", stage, lambda out: out[0])
        probe.watch(f"global_stage{number}", stage, lambda out: tokens(out[1]).flatten(1, 2))
        probe.watch(f"fusion_stage{number}", stage, lambda out: out[2])
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        with torch.no_grad():
            logits = model.to(dtype)(rule(golden).make_input("input").to(dtype))
        assert error(logits, numbers["logits"]) <= tolerance
        assert max(probe.errors(numbers["features"]).values()) <= tolerance


@pytest.mark.golden
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_classes", [7, 1000])
def test_has_the_published_parameters(golden, name, num_classes):
    published = json.loads((golden / "complexity.json").read_text())[name][f"num_classes_{num_classes}"]
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=num_classes)
    assert sum(p.numel() for p in model.parameters()) == round(published["params_with_grad_M"] * 1e6)


def test_is_half_as_large_with_the_papers_depthwise_convolution():
    with torch.device("meta"):
        model = timm.create_model("hifuse_tiny", num_classes=7, depthwise=True)
    assert sum(p.numel() for p in model.parameters()) == 54_673_217
    assert [stage.fusion.mlp.conv.groups for stage in model.stages] == [288, 576, 1152, 2304]


def test_every_other_window_is_shifted_by_half_its_side():
    with torch.device("meta"):
        model = timm.create_model("hifuse_small")
    shifts = [[b.attention.shift for b in stage.global_blocks] for stage in model.stages]
    assert shifts == [[0, 3], [0, 3], [0, 3] * 3, [0, 3]]


def test_the_fusion_weighs_places_of_the_local_branch_and_channels_of_the_global_one():
    torch.manual_seed(0)
    fusion = HFFFusion(64).eval()
    x = torch.randn(2, 64, 4, 4)
    with torch.no_grad():
        local, global_ = (seen / x for seen in fusion.attend(x, x))
    torch.testing.assert_close(local, local[:, :1].expand_as(x))
    torch.testing.assert_close(global_, global_[..., :1, :1].expand_as(x))
    assert local.var(dim=(2, 3)).min() > 0
    assert global_.var(dim=1).min() > 0


def test_the_fusion_wants_a_previous_one_when_built_for_it():
    x, prev = torch.randn(2, 16, 4, 4), torch.randn(2, 8, 8, 8)
    assert HFFFusion(16, prev_dim=8)(x, x, prev).shape == x.shape
    assert HFFFusion(16)(x, x).shape == x.shape
    for fusion, given in ((HFFFusion(16, prev_dim=8), None), (HFFFusion(16), prev)):
        with pytest.raises(ValueError, match="if and only if"):
            fusion(x, x, given)


def test_weights_begin_as_published():
    torch.manual_seed(0)
    model = timm.create_model("hifuse_tiny", num_classes=7)
    branches = {n: m for n, m in model.named_modules() if ".fusion." not in n}
    linears = [m for m in branches.values() if isinstance(m, nn.Linear)]
    convolutions = [m for m in branches.values() if isinstance(m, nn.Conv2d)]
    tables = [m.relative_position_bias_table for m in branches.values() if isinstance(m, WindowAttention)]
    assert len(linears) == 8 + 3 * 8 + 3 + 1
    assert all(m.weight.std().item() == pytest.approx(0.02, rel=0.1) for m in linears)
    assert all(m.weight.std().item() == pytest.approx(0.2, rel=0.15) for m in convolutions)
    assert not any(m.bias.any() for m in (*linears, *convolutions) if m.bias is not None)
    assert all(t.std().item() == pytest.approx(0.02, rel=0.2) for t in tables)


@pytest.mark.golden
class TestConverter:
    NAME = "hifuse_tiny"

    @pytest.fixture
    def theirs(self, golden):
        return with_constants(shapes_alone(golden, self.NAME))

    def test_takes_the_number_of_classes_from_the_head(self, theirs):
        theirs["conv_head.weight"], theirs["conv_head.bias"] = torch.zeros(3, 768), torch.zeros(3)
        assert convert({"net": theirs}, self.NAME)["head.fc.weight"].shape == (3, 768)

    def test_drops_what_the_published_code_never_uses(self, golden, theirs):
        unused = json.loads((golden / "complexity.json").read_text())[self.NAME]["num_classes_7"][
            "no_grad_names"
        ]
        assert len(unused) == 48
        without = {name: value for name, value in theirs.items() if name not in unused}
        assert convert(without, self.NAME).keys() == convert(theirs, self.NAME).keys()

    def test_refuses_unknown_missing_and_misshapen(self, theirs):
        with pytest.raises(ValueError, match=r"unknown stages\.0\.0\.gamma"):
            convert({**theirs, "stages.0.0.gamma": torch.zeros(96)}, self.NAME)
        with pytest.raises(ValueError, match=r"missing fu2\.W_l\.conv\.bias"):
            convert({k: v for k, v in theirs.items() if k != "fu2.W_l.conv.bias"}, self.NAME)
        with pytest.raises(ValueError, match=r"wrong shapes.*patch_embed\.proj\.weight"):
            convert({**theirs, "patch_embed.proj.weight": torch.zeros(96, 1, 4, 4)}, self.NAME)

    def test_refuses_another_size_of_the_model(self, theirs):
        with pytest.raises(ValueError, match=r"no whole hifuse_small checkpoint: missing layers3\.blocks\.2"):
            convert(theirs, "hifuse_small")

    def test_names_a_constant_that_is_not_the_published_one(self, theirs):
        name = "layers1.blocks.0.attn.relative_position_index"
        with pytest.warns(UserWarning, match=name):
            convert({**theirs, name: torch.zeros(49, 49)}, self.NAME)
