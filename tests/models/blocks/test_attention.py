"""External, spatial, channel and mixed attention against their equations."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hemf.models.blocks import (
    ChannelAttention,
    MixedAttention,
    MultiHeadExternalAttention,
    SpatialAttention,
)


def naive_external(attention: MultiHeadExternalAttention, image: torch.Tensor) -> torch.Tensor:
    """One image (C, H, W), head by head, normalised in two plain steps."""
    width = attention.memory_key.in_features
    out = []
    for head in image.split(width):
        a = head.flatten(1).T @ attention.memory_key.weight.T
        a = a.exp() / a.exp().sum(0)
        a = a / a.sum(1, keepdim=True)
        out.append((a @ attention.memory_value.weight.T).T.unflatten(1, image.shape[1:]))
    return torch.cat(out)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    heads=st.integers(1, 4),
    channels=st.integers(1, 5),
    memory=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_external_attention_normalises_over_tokens_then_units(height, width, heads, channels, memory, seed):
    torch.manual_seed(seed)
    attention = MultiHeadExternalAttention(heads * channels, heads, memory).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, heads * channels, height, width, dtype=torch.float64)
    with torch.inference_mode():
        expected = torch.stack([naive_external(attention, image) for image in x])
        torch.testing.assert_close(attention(x), expected, rtol=1e-10, atol=1e-12)


def test_external_attention_stays_finite_for_extreme_scores():
    """Softmax over the tokens alone leaves whole rows at zero here, and then 0 / 0."""
    attention = MultiHeadExternalAttention(4, 2, 8)
    torch.nn.init.normal_(attention.memory_key.weight, std=100.0)
    x = 100 * torch.randn(1, 4, 4, 4)
    x.requires_grad_()
    out = attention(x)
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()


def test_external_attention_shares_one_memory_without_bias():
    attention = MultiHeadExternalAttention(96, 8, 64)
    assert {n: tuple(p.shape) for n, p in attention.named_parameters()} == {
        "memory_key.weight": (64, 12),
        "memory_value.weight": (12, 64),
    }
    assert attention.memory_key.weight.std().item() == pytest.approx(0.001, rel=0.2)


def test_refuses_channels_that_do_not_divide_into_heads():
    with pytest.raises(ValueError, match="10 channels do not divide into 4 heads"):
        MultiHeadExternalAttention(10, 4)


def test_mixed_attention_follows_its_equations():
    torch.manual_seed(0)
    mixed = MixedAttention(16, 4, 8).double()
    torch.nn.init.normal_(mixed.norm.weight)
    torch.nn.init.normal_(mixed.norm.bias)
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)

    def norm(t: torch.Tensor) -> torch.Tensor:
        centred = t - t.mean(1, keepdim=True)
        scaled = centred / (t.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
        return scaled * mixed.norm.weight[:, None, None] + mixed.norm.bias[:, None, None]

    a = norm(x)
    b = norm(mixed.external(a) * a)
    pooled = torch.stack([b.mean(1), b.max(1).values], dim=1)
    c = F.conv2d(pooled, mixed.spatial.conv.weight, padding=3).sigmoid() * b
    first, _, second = mixed.channel.bottleneck
    average, maximum = c.mean((2, 3)), c.flatten(2).max(2).values
    excited = sum((v @ first.weight.T).relu() @ second.weight.T for v in (average, maximum))
    torch.testing.assert_close(mixed(x), excited.sigmoid()[:, :, None, None] * c, rtol=1e-10, atol=1e-12)


def test_weights_lie_between_zero_and_one_at_any_bottleneck():
    x = torch.randn(2, 8, 4, 4)
    spatial, channel = SpatialAttention()(x), ChannelAttention(8, ratio=16)(x)
    assert spatial.shape == (2, 1, 4, 4)
    assert channel.shape == (2, 8, 1, 1)
    for weights in (spatial, channel):
        assert weights.min() > 0
        assert weights.max() < 1


@pytest.mark.parametrize(("external", "conv"), [(False, False), (True, False), (False, True)])
def test_mixed_attention_has_no_parameters_of_attentions_that_are_off(external, conv):
    mixed = MixedAttention(16, 4, 8, external_attention=external, conv_attention=conv)
    mixed(torch.randn(1, 16, 4, 4)).square().sum().backward()
    assert all(p.grad is not None for p in mixed.parameters())
    assert any("external" in n for n, _ in mixed.named_parameters()) == external
    assert any("spatial" in n for n, _ in mixed.named_parameters()) == conv
