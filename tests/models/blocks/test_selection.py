"""Selection of stages: its equation, even weights at first, and weights that are learnt image by image."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hemf.models.blocks import StageSelection


def fusions(dims: tuple[int, ...], height: int, width: int, batch: int = 2) -> list[Tensor]:
    """Maps of stages, the last ``height`` x ``width``, in double precision."""
    torch.manual_seed(1)
    sides = [2 ** (len(dims) - 1 - stage) for stage in range(len(dims))]
    return [
        torch.randn(batch, dim, side * height, side * width).double()
        for dim, side in zip(dims, sides, strict=True)
    ]


def drawn(dims: tuple[int, ...], dynamic: bool) -> StageSelection:
    """A selection whose weights are no longer even."""
    torch.manual_seed(0)
    selection = StageSelection(dims, dynamic).double()
    for parameter in selection.parameters():
        nn.init.normal_(parameter)
    return selection


@settings(max_examples=20)
@given(
    dims=st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    height=st.integers(1, 3),
    width=st.integers(1, 3),
    dynamic=st.booleans(),
)
def test_mixes_what_its_equation_says(dims, height, width, dynamic):
    selection, maps = drawn(dims, dynamic), fusions(dims, height, width)
    aligned = []
    for stage, fusion in enumerate(maps):
        pooled = F.adaptive_avg_pool2d(fusion, (height, width))
        projection, norm = selection.projections[stage], selection.norms[stage]
        if stage < len(dims) - 1:
            pooled = torch.einsum("oc,bchw->bohw", projection.weight, pooled)
            pooled = pooled + projection.bias[:, None, None]
        centred = pooled - pooled.mean(1, keepdim=True)
        normed = centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
        aligned.append(normed * norm.weight[:, None, None] + norm.bias[:, None, None])
    logits = selection.prior.expand(2, -1)
    if dynamic:
        means = torch.cat([one.mean((2, 3)) for one in aligned], 1)
        logits = logits + means @ selection.gate.weight.T / (len(dims) * dims[-1]) ** 0.5
    weights = logits.exp() / logits.exp().sum(1, keepdim=True)
    torch.testing.assert_close(selection(maps), torch.einsum("bs,sbchw->bchw", weights, torch.stack(aligned)))
    torch.testing.assert_close(selection.weigh(selection.align(maps)), weights)


@pytest.mark.parametrize("dynamic", [True, False])
def test_at_first_all_stages_weigh_the_same(dynamic):
    selection, maps = StageSelection((4, 6, 8), dynamic).double(), fusions((4, 6, 8), 2, 3)
    aligned = selection.align(maps)
    torch.testing.assert_close(selection.weigh(aligned), torch.full((2, 3), 1 / 3).double())
    torch.testing.assert_close(selection(maps), sum(aligned) / 3)


def test_only_dynamic_weights_differ_from_image_to_image():
    maps = fusions((4, 6, 8), 2, 2)
    for dynamic in (True, False):
        selection = drawn((4, 6, 8), dynamic)
        first, second = selection.weigh(selection.align(maps))
        assert torch.equal(first, second) != dynamic


def test_learns_to_take_each_image_from_the_stage_that_tells():
    """One stage, named by a flag in both, shows the class; the other one shows a random one."""
    rng = torch.Generator().manual_seed(0)

    def batch(size: int) -> tuple[list[Tensor], Tensor, Tensor]:
        target, random = torch.randint(2, (2, size), generator=rng)
        by_first = torch.rand(size, generator=rng) < 0.5
        shown = torch.where(by_first, target, random), torch.where(by_first, random, target)
        flag = 2.0 * by_first - 1
        first, second = (torch.stack([2.0 * c - 1, 1 - 2.0 * c, flag, -flag], 1) for c in shown)
        return [first[..., None, None].repeat(1, 1, 2, 2), second[..., None, None]], target, by_first

    torch.manual_seed(0)
    selection, classify = StageSelection((4, 4)), nn.Linear(4, 2)
    optimizer = torch.optim.Adam([*selection.parameters(), *classify.parameters()], lr=0.1)
    for _ in range(60):
        maps, target, _ = batch(128)
        loss = F.cross_entropy(classify(selection(maps).mean((2, 3))), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    maps, target, by_first = batch(200)
    with torch.no_grad():
        assert (classify(selection(maps).mean((2, 3))).argmax(1) == target).float().mean() > 0.95
        weights = selection.weigh(selection.align(maps))
    assert weights[by_first].mean(0)[0] > 0.9
    assert weights[~by_first].mean(0)[1] > 0.9
