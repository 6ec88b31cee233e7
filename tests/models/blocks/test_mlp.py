"""SIRMLP and IRMLP: Table 3's parameters, and multiply-adds by thop's convention."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hemf.models.blocks import IRMLP, SIRMLP

LAYERS = [(96, 56), (192, 28), (384, 14), (768, 7)]  # channels and side of the four stages
TABLE_3 = {SIRMLP: (0.185, 0.739, 2.952, 11.802), IRMLP: (1.190, 4.757, 19.025, 76.093)}  # M parameters


@pytest.mark.parametrize("layer", range(4))
@pytest.mark.parametrize("block", [SIRMLP, IRMLP])
def test_has_the_parameters_of_table_3(block, layer):
    dim, _ = LAYERS[layer]
    with torch.device("meta"):
        parameters = sum(p.numel() for p in block(3 * dim, dim).parameters())
    assert round(parameters / 1e6, 3) == TABLE_3[block][layer]


def multiply_adds(block: type, dim: int, side: int) -> int:
    """Of the convolutions, as thop counts: weights x places; it counts batch normalisation 4 a value."""
    inner = dim if block is SIRMLP else 3 * dim
    squeeze, squeezed = (3 * dim * dim, 4 * dim) if block is SIRMLP else (0, 0)
    convolutions = squeeze + 9 * inner * inner + 4 * inner * inner + 4 * inner * dim
    normalisations = squeezed + 4 * inner + 4 * dim
    return side * side * (convolutions + normalisations)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("block", [SIRMLP, IRMLP])
def test_thop_counts_every_multiply_add(block, layer):
    thop = pytest.importorskip("thop")
    dim, side = LAYERS[layer]
    flops, _ = thop.profile(block(3 * dim, dim), (torch.zeros(1, 3 * dim, side, side),), verbose=False)
    assert flops == multiply_adds(block, dim, side)


@pytest.mark.parametrize("block", [SIRMLP, IRMLP])
def test_depthwise_saves_the_dense_convolutions_parameters(block):
    inner = 8 if block is SIRMLP else 24
    dense, depthwise = (
        sum(p.numel() for p in block(24, 8, depthwise=option).parameters()) for option in (False, True)
    )
    assert dense - depthwise == 9 * inner * (inner - 1)
    assert block(24, 8, depthwise=True)(torch.randn(2, 24, 3, 5)).shape == (2, 8, 3, 5)


def test_torch_counts_the_same_products():
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        SIRMLP(48, 16)(torch.zeros(1, 48, 4, 4))
    assert counter.get_total_flops() == 2 * 16 * (3 + 9 + 4 + 4) * 16 * 16
