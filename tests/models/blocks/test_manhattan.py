"""Manhattan self-attention against full masks over all pairs of tokens, and how its memory grows."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hemf.models.blocks import ManhattanPosition, ManhattanSelfAttention


def rotated(x: torch.Tensor) -> torch.Tensor:
    """Rotate each pair of channels of tokens (N, heads, d) as a complex number by its token's phase."""
    pairs = x.shape[-1] // 2
    angle = (1 / 10000 ** torch.linspace(0, 1, pairs)).double()
    phase = torch.arange(len(x))[:, None] * angle
    turned = (
        torch.view_as_complex(x.unflatten(-1, (pairs, 2)))
        * torch.polar(torch.ones_like(phase), phase)[:, None]
    )
    return torch.view_as_real(turned).flatten(-2)


def naive(attention: ManhattanSelfAttention, image: torch.Tensor) -> torch.Tensor:
    """The same for one image (C, H, W), over all pairs of tokens, those of other lines masked out."""
    heads, (dim, height, width) = attention.num_heads, image.shape
    x = image.flatten(1).T
    q, k, v = (
        p(x).unflatten(-1, (heads, -1)) for p in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    q, k = rotated(q), rotated(k * (dim // heads) ** -0.5)
    row, column = torch.arange(height).repeat_interleave(width), torch.arange(width).repeat(height)
    out = v
    for here, along in ((row, column), (column, row)):
        distance = (along[:, None] - along).abs()
        mask = torch.where(here[:, None] == here, 0.0, -math.inf)
        new = torch.empty_like(out)
        for head in range(heads):
            decay = torch.log(1 - 2 ** (-1 - torch.tensor(3.0) * head / heads)).double()
            scores = q[:, head] @ k[:, head].T + decay * distance + mask
            new[:, head] = scores.softmax(-1) @ out[:, head]
        out = new
    lepe = attention.lepe(v.flatten(1).T.view(1, dim, height, width))[0].flatten(1).T
    return attention.out_proj(out.flatten(1) + lepe).T.view(dim, height, width)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    heads=st.integers(1, 4),
    pairs=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_equals_attention_over_all_pairs_of_tokens(height, width, heads, pairs, seed):
    torch.manual_seed(seed)
    attention = ManhattanSelfAttention(2 * pairs * heads, heads).double()
    x = torch.randn(2, 2 * pairs * heads, height, width, dtype=torch.float64)
    with torch.inference_mode():
        expected = torch.stack([naive(attention, image) for image in x])
        torch.testing.assert_close(attention(x), expected, rtol=1e-10, atol=1e-12)


class Largest(TorchDispatchMode):
    """Remembers the elements of the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        self.elements = max([self.elements, *(t.numel() for t in tensors)])
        return out


@pytest.mark.parametrize("backend", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION])
def test_memory_grows_with_the_cube_of_the_side(backend):
    """Forward and backward, even where the attention products are written out."""
    attention = ManhattanSelfAttention(4, 2)

    def largest(side: int) -> int:
        with Largest() as seen, sdpa_kernel(backend):
            attention(torch.zeros(1, 4, side, side)).sum().backward()
        return seen.elements

    assert largest(48) <= 8 * largest(24)


def test_terms_of_a_stage_can_be_computed_once():
    attention = ManhattanSelfAttention(16, 2)
    x = torch.randn(1, 16, 3, 5)
    assert torch.equal(attention(x), attention(x, attention.position(3, 5, x.dtype)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_constants_keep_their_precision_when_the_model_is_cast(dtype):
    position = ManhattanPosition(8, 2)
    cast = ManhattanPosition(8, 2).to(dtype)
    assert torch.equal(cast.angle, position.angle)
    assert torch.equal(cast.decay, position.decay)
    assert cast.to("meta").angle.is_meta
    assert not ManhattanPosition(8, 2).state_dict()


@pytest.mark.parametrize(("dim", "heads", "message"), [(12, 8, "8 heads"), (24, 8, "even")])
def test_refuses_channels_that_make_no_even_heads(dim, heads, message):
    with pytest.raises(ValueError, match=message):
        ManhattanSelfAttention(dim, heads)
