"""UniFormer: the published numbers and what is its own."""

import copy

import pytest
import timm
import torch
from torch import nn
from zoo import Probe, authors_checkpoint, error, golden_numbers, rule, shapes_alone

import hemf.models  # noqa: F401  registers the model
from hemf.models.convert import convert

NAME = "uniformer_base"
AUTHORS = "uniformer_b"


@pytest.fixture(scope="module")
def published(golden):
    model = timm.create_model(NAME, num_classes=7)
    model.load_state_dict(convert(authors_checkpoint(golden, AUTHORS), NAME))
    return model.eval()


def tiny(**kwargs):
    return timm.create_model(NAME, depths=(1, 1, 1, 1), dims=(8, 8, 8, 8), head_dim=4, **kwargs).eval()


@pytest.mark.golden
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param(torch.float64, 1e-9, marks=pytest.mark.slow), (torch.float32, 1e-4)],
)
def test_reproduces_the_published_numbers(golden, published, dtype, tolerance):
    numbers = golden_numbers(golden, AUTHORS)
    model = copy.deepcopy(published).to(dtype)
    probe = Probe()
    for number, stage in enumerate(model.stages, start=1):
        probe.watch(f"patch_embed{number}", stage.downsample)
        probe.watch(f"stage{number}", stage)
    probe.watch("norm", model.norm)
    with torch.no_grad():
        logits = model(rule(golden).make_input("input").to(dtype))
    assert error(logits, numbers["logits"]) <= tolerance
    assert max(probe.errors(numbers["features"]).values()) <= tolerance


@pytest.mark.parametrize(("num_classes", "parameters"), [(7, 49_267_143), (1000, 49_776_552)])
def test_has_the_published_parameters(num_classes, parameters):
    with torch.device("meta"):
        model = timm.create_model(NAME, num_classes=num_classes)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_shallow_stages_see_neighbours_alone_and_the_deep_ones_everything():
    model = tiny()
    x = torch.randn(1, 8, 16, 16)
    moved = x.clone()
    moved[:, 0, 0, 0] += 1
    with torch.no_grad():
        local, everywhere = (
            (stage.blocks(x) - stage.blocks(moved)).abs().amax((0, 1)) > 0 for stage in model.stages[1:3]
        )
    assert local.nonzero().max() == 3  # a depthwise 3x3, then a depthwise 5x5
    assert everywhere.all()


def test_weights_begin_as_published():
    torch.manual_seed(0)
    model = timm.create_model(NAME, depths=(1, 1, 1, 1))
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert len(linears) == 9
    assert all(m.weight.std().item() == pytest.approx(0.02, rel=0.05) and not m.bias.any() for m in linears)
    pointwise = model.stages[1].blocks[0].mlp.fc1
    assert pointwise.weight.abs().max().item() == pytest.approx(128**-0.5, rel=0.01)


@pytest.mark.golden
class TestConverter:
    def test_takes_the_number_of_classes_from_the_head(self, golden):
        theirs = shapes_alone(golden, AUTHORS)
        theirs["head.weight"], theirs["head.bias"] = torch.zeros(3, 512), torch.zeros(3)
        assert convert({"model": theirs}, NAME)["head.fc.weight"].shape == (3, 512)

    def test_refuses_unknown_missing_and_misshapen(self, golden):
        theirs = shapes_alone(golden, AUTHORS)
        gamma = {"blocks3.0.gamma_1": torch.zeros(320)}
        with pytest.raises(ValueError, match=r"unknown blocks3\.0\.gamma_1"):  # a variant with layer scale
            convert({**theirs, **gamma}, NAME)
        with pytest.raises(ValueError, match=r"missing blocks2\.0\.conv1\.bias"):
            convert({k: v for k, v in theirs.items() if k != "blocks2.0.conv1.bias"}, NAME)
        with pytest.raises(ValueError, match=r"wrong shapes.*patch_embed1\.proj\.weight"):
            convert({**theirs, "patch_embed1.proj.weight": torch.zeros(64, 1, 4, 4)}, NAME)
