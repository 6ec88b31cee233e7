"""The streamed form of external attention against the one that is written out."""

import pytest
import torch

from hemf.models.blocks import MultiHeadExternalAttention
from hemf.models.blocks.attention import MixedAttention
from hemf.models.blocks.external import StreamedExternalAttention


def written_out(x: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    scores = x @ key.T
    return (scores.log_softmax(1).softmax(-1)) @ value.T


def tokens_and_memories(std: float) -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = ((2, 15, 3, 4), (6, 4), (4, 6))
    return [(std * torch.randn(shape, dtype=torch.float64)).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("std", [0.1, 3.0, 30.0])
def test_gives_the_numbers_and_gradients_of_the_written_out_form(std):
    """At the last spread the sums over the units underflow, and are taken another way."""
    inputs = tokens_and_memories(std)
    weights = torch.randn(2, 15, 3, 4, dtype=torch.float64)
    results = []
    for form in (written_out, lambda *args: StreamedExternalAttention.apply(*args)[0]):
        out = form(*inputs)
        results.append([out, *torch.autograd.grad((out * weights).sum(), inputs)])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_token_far_below_every_units_highest_score_keeps_its_attention():
    key, value = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0, 3.0]])
    x = torch.tensor([500.0, 0.0, -500.0]).view(1, 3, 1, 1)
    out, _ = StreamedExternalAttention.apply(x, key, value)
    torch.testing.assert_close(out, written_out(x, key, value))


@pytest.mark.parametrize("needed", [(True, True, True), (False, True, False)])
def test_second_derivatives_are_those_of_the_written_out_form(needed):
    inputs = [t.detach().requires_grad_(on) for t, on in zip(tokens_and_memories(1.0), needed, strict=True)]
    wanted, results = [t for t in inputs if t.requires_grad], []
    for form in (written_out, lambda *args: StreamedExternalAttention.apply(*args)[0]):
        first = torch.autograd.grad(form(*inputs).square().sum(), wanted, create_graph=True)
        results.append(torch.autograd.grad(sum(g.square().sum() for g in first), wanted))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_makes_way_where_it_cannot_run():
    """For layers replaced by others, for tracing, for transforms of functions, and without images."""
    torch.manual_seed(0)
    attention, x = MixedAttention(16, 2).eval(), torch.randn(3, 16, 8, 8)
    with torch.no_grad():
        expected = attention(x)
        torch.testing.assert_close(torch.jit.trace(attention, x)(x), expected)
        external = attention.external
        one_by_one = torch.func.vmap(lambda image: external(image[None])[0])(x)
        torch.testing.assert_close(one_by_one, external(x))
        assert external(x[:0]).shape == (0, 16, 8, 8)
        external.memory_key = torch.nn.Sequential(external.memory_key)  # as an adapter would
        torch.testing.assert_close(attention(x), expected)


def test_keeps_no_scores_for_the_backward_pass():
    attention, kept = MultiHeadExternalAttention(16, 2, memory=64), []
    x = torch.randn(2, 16, 12, 12, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        attention(x)
    scores = 2 * 2 * 12 * 12 * 64
    assert max(kept) <= x.numel() < scores
