"""The 3x3 convolution that is computed another way on small maps."""

import pytest
import torch
from torch import nn

from hemf.models.blocks.layers import convolve


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.float(), expected.float(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("side", [(1, 1), (2, 3), (4, 4), (5, 4)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("autocast", [True, False])
def test_small_maps_in_bfloat16_have_the_convolutions_numbers_and_gradients(side, bias, autocast):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 10, 3, padding=1, bias=bias).to(memory_format=torch.channels_last)
    x = torch.randn(3, 6, *side)
    if not autocast:
        conv, x = conv.bfloat16(), x.bfloat16()
    found = []
    for function in (conv, lambda x: convolve(conv, x)):
        image = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = function(image)
        gradients = torch.autograd.grad(out.float().square().mean(), [image, *conv.parameters()])
        assert out.dtype == torch.bfloat16
        assert out.is_contiguous(memory_format=torch.channels_last)
        found.append([out.detach(), *gradients])
    for expected, other in zip(*found, strict=True):
        close(other, expected)


@pytest.mark.parametrize("watch", [False, True])
def test_a_watched_convolution_runs_itself(watch):
    conv, seen = nn.Conv2d(4, 4, 3, padding=1).to(memory_format=torch.channels_last).bfloat16(), []
    if watch:
        conv.register_forward_hook(lambda *_: seen.append(True))
    convolve(conv, torch.zeros(1, 4, 2, 2, dtype=torch.bfloat16))
    assert bool(seen) == watch


def test_full_precision_is_the_convolution_to_the_bit():
    conv, x = nn.Conv2d(8, 8, 3, padding=1).to(memory_format=torch.channels_last), torch.randn(2, 8, 3, 3)
    assert torch.equal(convolve(conv, x), conv(x))
