"""Shifted-window attention, against timm's Swin Transformer and its own definition."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models import swin_transformer

from hemf.models.blocks.window import PatchMerging, WindowAttention, relative_position_index


def attention(shift=0, window_size=7, dim=12, num_heads=3):
    torch.manual_seed(0)
    return WindowAttention(dim, num_heads, window_size, shift).double().eval()


def swin_block(ours, height, width):
    """timm's block with our weights; asked to partition always, it shifts small maps too."""
    block = swin_transformer.SwinTransformerBlock(
        ours.qkv.in_features,
        (height, width),
        ours.num_heads,
        window_size=ours.window_size,
        shift_size=ours.shift,
        always_partition=True,
    ).double()
    block.attn.load_state_dict(ours.state_dict())
    return block.eval()


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (14, 21), (28, 14)])
def test_is_swins_on_whole_windows(shift, height, width):
    ours, x = attention(shift), torch.randn(2, 12, height, width, dtype=torch.float64)
    with torch.no_grad():
        theirs = swin_block(ours, height, width)._attn(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(ours(x), theirs)


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 17), width=st.integers(1, 17), shift=st.sampled_from([0, 2]))
def test_pads_to_whole_windows_on_the_right_and_below(height, width, shift):
    ours, x = attention(shift, window_size=5), torch.randn(1, 12, height, width, dtype=torch.float64)
    padded = F.pad(x, (0, -width % 5, 0, -height % 5))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), ours(padded)[..., :height, :width])


@pytest.mark.parametrize("shift", [0, 3])
def test_a_token_is_seen_in_its_window_alone(shift):
    ours, x = attention(shift), torch.randn(1, 12, 14, 14, dtype=torch.float64)
    moved = x.clone()
    moved[:, :, 0, 0] += 1
    with torch.no_grad():
        changed = ((ours(x) - ours(moved)).abs().amax((0, 1)) > 0).nonzero()
    side = 7 if shift == 0 else shift
    assert changed.amin(0).tolist() == [0, 0]
    assert changed.amax(0).tolist() == [side - 1, side - 1]


def test_the_position_index_tells_offsets_apart():
    index = relative_position_index(3)
    offsets = {}
    for i in range(9):
        for j in range(9):
            offsets.setdefault((i // 3 - j // 3, i % 3 - j % 3), set()).add(index[i, j].item())
    assert all(len(rows) == 1 for rows in offsets.values())
    assert set.union(*offsets.values()) == set(range(25))


def test_patch_merging_is_a_convolution_of_the_normalised_patches():
    torch.manual_seed(0)
    merging, x = PatchMerging(4, 8).double(), torch.randn(2, 4, 6, 8, dtype=torch.float64)
    patches = F.unfold(x, 2, stride=2).unflatten(1, (4, 2, 2)).permute(0, 4, 3, 2, 1).flatten(2)
    expected = merging.reduction(F.layer_norm(patches, (16,))).transpose(1, 2).unflatten(2, (3, 4))
    torch.testing.assert_close(merging(x), expected)


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="12 channels do not divide into 5 heads: choose a multiple of 5"):
        WindowAttention(12, 5)
