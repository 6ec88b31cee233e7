"""CAME: the published numbers and what is its own."""

import json

import pytest
import timm
import torch
from torch import nn
from zoo import (
    Probe,
    authors_checkpoint,
    authors_names,
    error,
    golden_numbers,
    rule,
    shapes_alone,
    with_constants,
)

import hemf.models  # noqa: F401  registers the model
from hemf.models.blocks.layers import tokens
from hemf.models.came import ExternalBlock, GlobalBlock, MSFAFusion
from hemf.models.convert import convert, left_out

NAME = "came"


@pytest.fixture(scope="module")
def checkpoint(golden):
    return with_constants(authors_checkpoint(golden, NAME))


@pytest.fixture(scope="module")
def published(checkpoint):
    model = timm.create_model(NAME, num_classes=7)
    with pytest.warns(UserWarning, match="given twice and differ"):
        model.load_state_dict(convert(checkpoint, NAME))
    return model.eval()


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_reproduces_the_published_numbers(golden, published, dtype, tolerance):
    numbers, probe, model = golden_numbers(golden, NAME), Probe(), published.to(dtype)
    for number, stage in enumerate(model.stages, start=1):
        probe.watch(f"local_stage{number}", stage, lambda out: out[0])
        probe.watch(f"global_stage{number}", stage, lambda out: tokens(out[1]).flatten(1, 2))
        probe.watch(f"external_stage{number}", stage, lambda out: out[2])
        probe.watch(f"fusion_stage{number}", stage, lambda out: out[3])
    with torch.no_grad():
        logits = model(rule(golden).make_input("input").to(dtype))
    assert error(logits, numbers["logits"]) <= tolerance
    assert max(probe.errors(numbers["features"]).values()) <= tolerance


@pytest.mark.golden
@pytest.mark.slow
def test_reproduces_the_published_numbers_with_one_copy_of_the_doubled_stage(golden, published, checkpoint):
    once = {name: value for name, value in checkpoint.items() if not name.startswith("EA_1.")}
    model = published.double()
    model.load_state_dict(convert(once, NAME))
    with torch.no_grad():
        logits = model(rule(golden).make_input("input").double())
    assert error(logits, golden_numbers(golden, NAME)["logits_ea0"]) <= 1e-9


@pytest.mark.golden
@pytest.mark.parametrize("num_classes", [7, 1000])
def test_has_the_published_parameters(golden, num_classes):
    published = json.loads((golden / "complexity.json").read_text())[NAME][f"num_classes_{num_classes}"]
    with torch.device("meta"):
        model = timm.create_model(NAME, num_classes=num_classes)
    assert sum(p.numel() for p in model.parameters()) == round(published["params_with_grad_M"] * 1e6)


def test_the_global_convolution_reads_tokens_as_maps_without_moving_them():
    torch.manual_seed(0)
    block = GlobalBlock(8, num_heads=2).eval()
    block.conv.bias.data.zero_()
    block.conv.weight.data.zero_()
    block.conv.weight.data[range(8), range(8), 1, 1] = 1  # the identity
    read = []
    block.norm.register_forward_hook(lambda module, inputs, out: read.append(inputs[0]))
    block.attention.register_forward_hook(lambda module, inputs, out: read.append(inputs[0]))
    x = torch.randn(1, 8, 4, 6)
    with torch.no_grad():
        block(x)
        normed = block.norm(read[0])
    torch.testing.assert_close(read[0].flatten(), tokens(x).flatten())
    torch.testing.assert_close(tokens(read[1]).flatten(), normed.flatten())


def test_external_attention_is_normalised_over_tokens_then_over_slots():
    torch.manual_seed(0)
    block = ExternalBlock(6, memory=5).double()
    nn.init.normal_(block.attention.memory_key.weight)
    nn.init.normal_(block.attention.memory_value.weight)
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    scores = (tokens(block.norm(x)).flatten(1, 2) @ block.attention.memory_key.weight.T).softmax(dim=1)
    out = scores / scores.sum(dim=2, keepdim=True) @ block.attention.memory_value.weight.T
    torch.testing.assert_close(block(x), x + out.transpose(1, 2).unflatten(2, (3, 4)))


def test_the_fusion_wants_a_previous_one_when_built_for_it():
    x, prev = torch.randn(2, 16, 4, 4), torch.randn(2, 8, 8, 8)
    assert MSFAFusion(16, prev_dim=8)(x, x, x, prev).shape == x.shape
    assert MSFAFusion(16)(x, x, x).shape == x.shape
    for fusion, given in ((MSFAFusion(16, prev_dim=8), None), (MSFAFusion(16), prev)):
        with pytest.raises(ValueError, match="if and only if"):
            fusion(x, x, x, given)


def test_the_previous_fusion_is_a_shortcut():
    torch.manual_seed(0)
    fusion, x, prev = MSFAFusion(16, prev_dim=8).eval(), torch.randn(2, 16, 4, 4), torch.randn(2, 8, 8, 8)
    nn.init.zeros_(fusion.mlp.project.bn.weight)
    with torch.no_grad():
        torch.testing.assert_close(fusion(x, x, x, prev), fusion.previous(prev))


def test_weights_begin_as_in_the_public_code():
    torch.manual_seed(0)
    dims = {"dims": (32, 64, 128, 256), "num_heads": (1, 2, 4, 8)}
    stage = timm.create_model(NAME, **dims).stages[2]
    assert stage.local_blocks[0].conv.weight.std().item() == pytest.approx(0.2, rel=0.02)
    assert stage.global_blocks[0].linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert stage.external_downsample.weight.abs().max().item() == pytest.approx((4 * 64) ** -0.5, rel=0.01)
    assert stage.external_block.attention.memory_key.weight.std().item() == pytest.approx(0.001, rel=0.05)


@pytest.mark.golden
class TestConverter:
    @pytest.fixture
    def theirs(self, golden):
        """A checkpoint with one copy of the doubled stage."""
        both = with_constants(shapes_alone(golden, NAME))
        return {name: value for name, value in both.items() if not name.startswith("ea.0.")}

    def test_takes_the_number_of_classes_from_the_head(self, theirs):
        theirs["conv_head.weight"], theirs["conv_head.bias"] = torch.zeros(3, 768), torch.zeros(3)
        assert convert({"net": theirs}, NAME)["head.fc.weight"].shape == (3, 768)

    def test_takes_either_copy_of_the_doubled_stage_and_prefers_the_one_read_last(self, golden, theirs):
        names = [name for name in authors_names(golden, NAME) if name.startswith("EA_1.")]
        last = {name: torch.ones_like(theirs[name], device="cpu") for name in names}
        first = {name.replace("EA_1.", "ea.0."): torch.zeros_like(value) for name, value in last.items()}
        others = {name: value for name, value in theirs.items() if name not in last}
        ours = "stages.0.external_block.attention.memory_key.weight"
        assert convert({**others, **last}, NAME)[ours].all()
        assert not convert({**others, **first}, NAME)[ours].any()
        with pytest.warns(UserWarning, match=r"given twice and differ; EA_1\.\* are used"):
            assert convert({**last, **others, **first}, NAME)[ours].all()
        assert set(first) <= set(left_out({**others, **first, **last}, NAME))
        assert not set(first) & set(left_out({**others, **first}, NAME))
        with pytest.raises(ValueError, match=r"missing ea\.0\.0\.bias"):
            convert(others, NAME)

    def test_drops_what_the_public_code_never_uses(self, golden, theirs):
        unused = json.loads((golden / "complexity.json").read_text())[NAME]["num_classes_7"]["no_grad_names"]
        assert len(unused) > 30
        without = {name: value for name, value in theirs.items() if name not in unused}
        assert convert(without, NAME).keys() == convert(theirs, NAME).keys()

    def test_refuses_unknown_missing_and_misshapen(self, theirs):
        with pytest.raises(ValueError, match=r"unknown stages\.0\.0\.gamma"):
            convert({**theirs, "stages.0.0.gamma": torch.zeros(96)}, NAME)
        with pytest.raises(ValueError, match=r"missing fu2\.ca_ea\.fc1\.weight"):
            convert({k: v for k, v in theirs.items() if k != "fu2.ca_ea.fc1.weight"}, NAME)
        with pytest.raises(ValueError, match=r"wrong shapes.*patch_embed\.proj\.weight"):
            convert({**theirs, "patch_embed.proj.weight": torch.zeros(96, 1, 4, 4)}, NAME)
