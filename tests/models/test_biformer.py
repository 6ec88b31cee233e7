"""BiFormer: the published numbers, and its attention against a loop over regions."""

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import Probe, authors_checkpoint, error, golden_numbers, rule, shapes_alone

import hemf.models  # noqa: F401  registers the model
from hemf.models.biformer import BiLevelRoutingAttention
from hemf.models.convert import convert

NAME = "biformer_base"
AUTHORS = "biformer_b"


def tiny(**kwargs):
    args = {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8), "head_dim": 4}
    return timm.create_model(NAME, **{**args, **kwargs}).eval()


@pytest.mark.golden
@pytest.mark.slow
def test_reproduces_the_published_numbers(golden):
    """In float64 alone: rounding may send a region elsewhere."""
    numbers = golden_numbers(golden, AUTHORS)
    model = timm.create_model(NAME, num_classes=7)
    model.load_state_dict(convert(authors_checkpoint(golden, AUTHORS), NAME))
    model.eval().double()
    probe = Probe()
    for number, stage in enumerate(model.stages, start=1):
        probe.watch(f"downsample{number}", stage.downsample)
        probe.watch(f"stage{number}_block0_attn", stage.blocks[0].mixer, lambda out: out.permute(0, 2, 3, 1))
        probe.watch(f"stage{number}", stage)
    probe.watch("norm", model.norm)
    with torch.no_grad():
        logits = model(rule(golden).make_input("input").double())
    assert error(logits, numbers["logits"]) <= 1e-9
    assert max(probe.errors(numbers["features"]).values()) <= 1e-9


@pytest.mark.parametrize(("num_classes", "parameters"), [(7, 56_041_351), (1000, 56_804_968)])
def test_has_the_published_parameters(num_classes, parameters):
    with torch.device("meta"):
        model = timm.create_model(NAME, num_classes=num_classes)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(("height", "width"), [(112, 112), (64, 96), (224, 100)])
def test_takes_other_sizes(height, width):
    with torch.no_grad():
        assert tiny(num_classes=5)(torch.randn(2, 3, height, width)).shape == (2, 5)


def looped(attention: BiLevelRoutingAttention, x: torch.Tensor) -> torch.Tensor:
    """The same attention, a region and a head at a time."""
    side, (dim, height, width) = attention.regions, x.shape[1:]
    x = F.pad(x, (0, -width % side, 0, -height % side))
    rows, columns = x.shape[2] // side, x.shape[3] // side
    q, k, v = attention.qkv(x.permute(0, 2, 3, 1)).split(dim, dim=-1)
    out = torch.zeros_like(q)
    cuts = [
        (slice(i * rows, (i + 1) * rows), slice(j * columns, (j + 1) * columns))
        for i in range(side)
        for j in range(side)
    ]
    for image in range(len(x)):
        mean_keys = torch.stack([k[image][cut].mean((0, 1)) for cut in cuts])
        for cut in cuts:
            match = mean_keys @ q[image][cut].mean((0, 1))
            chosen = [cuts[i] for i in match.argsort(descending=True)[: attention.topk]]
            keys = torch.cat([k[image][c].reshape(-1, dim) for c in chosen])
            values = torch.cat([v[image][c].reshape(-1, dim) for c in chosen])
            for start in range(0, dim, attention.head_dim):
                head = slice(start, start + attention.head_dim)
                weights = (q[image][cut][..., head] @ keys[:, head].T / dim**0.5).softmax(-1)
                out[image][cut][..., head] = weights @ values[:, head]
    out = out + attention.lepe(v.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return attention.proj(out).permute(0, 3, 1, 2)[:, :, :height, :width]


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    regions=st.integers(1, 3),
    topk=st.integers(1, 9),
    heads=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 2**16),
)
def test_routed_attention_is_the_loop_over_regions(height, width, regions, topk, heads, seed):
    torch.manual_seed(seed)
    attention = BiLevelRoutingAttention(8, 8 // heads, min(topk, regions**2), regions).double()
    x = torch.randn(2, 8, height, width, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(attention(x), looped(attention, x))


def test_a_region_attends_to_the_regions_it_is_routed_to_alone():
    torch.manual_seed(0)
    attention = BiLevelRoutingAttention(8, 4, topk=2, regions=3).double()
    torch.nn.init.zeros_(attention.lepe.weight)
    x = torch.randn(1, 8, 6, 6, dtype=torch.float64)
    x.requires_grad_()
    q, k, _ = (attention._cut(t) for t in attention.qkv(x.permute(0, 2, 3, 1)).chunk(3, dim=-1))
    chosen = {0, *attention.route(q, k)[0, 0].tolist()}  # queries come from the region itself
    attention(x)[:, :, :2, :2].sum().backward()
    moved = x.grad.abs().amax((0, 1)).unflatten(1, (3, 2)).unflatten(0, (3, 2)).amax((1, 3)).flatten()
    assert set(moved.nonzero().flatten().tolist()) == chosen


@pytest.mark.parametrize("topk", [0, 10])
def test_more_routes_than_regions_are_refused(topk):
    with pytest.raises(ValueError, match=f"topk must be 1 to 9, the number of regions, not {topk}"):
        BiLevelRoutingAttention(8, 4, topk, regions=3)


def test_plain_attention_that_does_not_fit_eight_heads_is_refused():
    with pytest.raises(ValueError, match="12 channels do not divide into 8 heads"):
        tiny(dims=(8, 8, 8, 12))


@pytest.mark.golden
class TestConverter:
    def test_takes_the_number_of_classes_from_the_head(self, golden):
        theirs = shapes_alone(golden, AUTHORS)
        theirs["head.weight"], theirs["head.bias"] = torch.zeros(3, 768), torch.zeros(3)
        assert convert({"model": theirs}, NAME)["head.fc.weight"].shape == (3, 768)

    def test_refuses_unknown_missing_and_misshapen(self, golden):
        theirs = shapes_alone(golden, AUTHORS)
        with pytest.raises(ValueError, match=r"unknown stages\.3\.0\.attn\.qkv\.bias"):
            convert({**theirs, "stages.3.0.attn.qkv.bias": torch.zeros(2304)}, NAME)
        with pytest.raises(ValueError, match=r"missing stages\.0\.0\.attn\.wo\.bias"):
            convert({k: v for k, v in theirs.items() if k != "stages.0.0.attn.wo.bias"}, NAME)
        with pytest.raises(ValueError, match=r"wrong shapes.*stages\.2\.0\.attn\.qkv\.qkv\.weight"):
            convert({**theirs, "stages.2.0.attn.qkv.qkv.weight": torch.zeros(768, 384)}, NAME)
