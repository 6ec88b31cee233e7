"""HEFFusion for branches of any widths."""

import pytest
import torch

from hemf.models.blocks import HEFFusion


@pytest.mark.parametrize(
    "switches", [{}, {"sirmlp": False}, {"depthwise": True}, {"external_attention": False}]
)
@pytest.mark.parametrize("prev_dim", [None, 7])
def test_fuses_any_widths_and_uses_every_parameter(prev_dim, switches):
    fusion = HEFFusion(8, 12, 5, prev_dim, num_heads=4, memory=6, **switches)
    prev = None if prev_dim is None else torch.randn(2, prev_dim, 6, 10)
    out = fusion(torch.randn(2, 8, 3, 5), torch.randn(2, 12, 3, 5), prev)
    out.square().sum().backward()
    assert out.shape == (2, 5, 3, 5)
    assert [name for name, p in fusion.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(("prev_dim", "prev"), [(None, torch.zeros(2, 7, 6, 10)), (7, None)])
def test_refuses_a_previous_stage_it_was_not_built_for(prev_dim, prev):
    fusion = HEFFusion(8, 8, 8, prev_dim)
    with pytest.raises(ValueError, match="prev_dim"):
        fusion(torch.zeros(2, 8, 3, 5), torch.zeros(2, 8, 3, 5), prev)


def test_adds_the_previous_stage_once_more_at_the_end():
    """With the last batch norm at zero F = P + SIRMLP(...) is P = AvgPool(ReLU(BN(Conv(prev)))) alone."""
    fusion = HEFFusion(8, 8, 8, 4).eval()
    torch.nn.init.zeros_(fusion.mlp.project.bn.weight)
    prev = torch.randn(1, 4, 6, 10)
    widened = torch.einsum("oc,bchw->bohw", fusion.previous.widen.conv.weight, prev)
    widened = (widened + fusion.previous.widen.conv.bias[:, None, None]) / (1 + 1e-5) ** 0.5
    expected = widened.relu().unflatten(2, (3, 2)).unflatten(4, (5, 2)).mean((3, 5))
    out = fusion(torch.randn(1, 8, 3, 5), torch.randn(1, 8, 3, 5), prev)
    torch.testing.assert_close(out, expected)


def test_gradient_checkpointing_changes_nothing():
    torch.manual_seed(0)
    fusion = HEFFusion(8, 8, 8)
    local, global_ = torch.randn(2, 8, 3, 5), torch.randn(2, 8, 3, 5)
    gradients = []
    for enabled in (False, True):
        fusion.grad_checkpointing = enabled
        fusion.zero_grad()
        fusion(local, global_).square().sum().backward()
        gradients.append([p.grad.clone() for p in fusion.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
