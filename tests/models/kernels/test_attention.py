"""The compiled attentions against the same written out in torch's operators, in float64."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hemf.models.blocks import ManhattanSelfAttention, MultiHeadExternalAttention
from hemf.models.kernels import INSTRUCTION_SET, LIBRARY, external, manhattan, written_out

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="no compiled kernels here")

MANHATTAN = (manhattan.manhattan_attention, manhattan._written_out)
EXTERNAL = (external.external_attention, written_out.external_with_weights)


def manhattan_inputs(batch, height, width, heads, pairs, spread=1.0) -> list[torch.Tensor]:
    """q, k, v, the terms, weight and bias, in float64."""
    attention = ManhattanSelfAttention(2 * pairs * heads, heads).double()
    maps = [spread * torch.randn(batch, height, width, 2 * pairs * heads).double() for _ in range(3)]
    torch.nn.init.normal_(attention.lepe.bias)
    terms = attention.position(height, width, torch.float64)
    return [*maps, *terms, attention.lepe.weight.detach(), attention.lepe.bias.detach()]


def external_inputs(batch, tokens, heads, depth, units, spread=1.0) -> list[torch.Tensor]:
    """x, key and value, in float64."""
    shapes = ((batch, tokens, heads, depth), (units, depth), (depth, units))
    return [spread * torch.randn(shape, dtype=torch.float64) for shape in shapes]


def results(function, inputs, wanted, dtype=torch.float64) -> list[torch.Tensor]:
    """The output, and the gradients of its weighted sum for the inputs whose places are ``wanted``."""
    maps = 3 if len(inputs) > 3 else 1  # what follows them is never less than float32
    types = [dtype if i < maps else torch.promote_types(dtype, torch.float32) for i in range(len(inputs))]
    cast = [t.to(kind) for t, kind in zip(inputs, types, strict=True)]
    leaves = [t.detach().requires_grad_(i in wanted) for i, t in enumerate(cast)]
    out = function(*leaves)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape).cos()
    gradients = torch.autograd.grad((out.double() * weights).sum(), [leaves[i] for i in wanted])
    return [out.detach(), *gradients]


def assert_near(found, expected, share) -> None:
    """Each within a share of the largest number expected."""
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        scale = max(other.abs().max().item(), 1.0)  # what is exactly zero is a difference of such numbers
        torch.testing.assert_close(one.double(), other.double(), rtol=0, atol=share * scale)


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    height=st.integers(1, 20),
    width=st.integers(1, 40),
    heads=st.integers(1, 4),
    pairs=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_manhattan_gives_numbers_and_gradients_of_the_written_out_form(
    batch, height, width, heads, pairs, seed
):
    torch.manual_seed(seed)
    inputs = manhattan_inputs(batch, height, width, heads, pairs)
    found, expected = (results(f, inputs, (0, 1, 2, 6, 7), d) for f, d in zip(MANHATTAN, FULL, strict=True))
    assert_near(found, expected, 1e-5)


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    tokens=st.integers(1, 150),
    heads=st.integers(1, 4),
    depth=st.integers(1, 20),
    units=st.integers(1, 70),
    spread=st.sampled_from([0.1, 1.0, 3.0]),
    seed=st.integers(0, 99),
)
def test_external_gives_numbers_and_gradients_of_the_written_out_form(
    batch, tokens, heads, depth, units, spread, seed
):
    torch.manual_seed(seed)
    inputs = external_inputs(batch, tokens, heads, depth, units, spread)
    found, expected = (results(f, inputs, (0, 1, 2), d) for f, d in zip(EXTERNAL, FULL, strict=True))
    assert_near(found, expected, 1e-4 if spread > 1 else 1e-5)


FULL = (torch.float32, torch.float64)


@pytest.mark.parametrize(
    ("functions", "make", "wanted"),
    [
        (MANHATTAN, lambda: manhattan_inputs(2, 9, 13, 4, 6), (0, 1, 2, 6, 7)),
        (EXTERNAL, lambda: external_inputs(2, 117, 4, 12, 64, 0.5), (0, 1, 2)),
    ],
)
def test_bfloat16_is_rounded_once_on_the_way_in_and_once_on_the_way_out(functions, make, wanted):
    torch.manual_seed(0)
    inputs = [t.bfloat16().double() if i < 3 and t.ndim == 4 else t for i, t in enumerate(make())]
    kernel, written_out = functions
    found = results(kernel, inputs, wanted, torch.bfloat16)
    assert found[0].dtype == torch.bfloat16
    assert_near(found, results(written_out, inputs, wanted), 2**-8)


def test_a_token_far_below_every_units_highest_score_keeps_its_attention():
    key, value = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0, 3.0]])
    x = torch.tensor([500.0, 0.0, -500.0]).view(1, 3, 1, 1)
    expected = written_out.external_with_weights(x, key, value)
    torch.testing.assert_close(external.external_attention(x, key, value), expected)


def test_what_is_no_number_stays_none():
    """In its own row and column alone, and not hidden by the clamped exponential."""
    inputs = [t.float() for t in manhattan_inputs(1, 3, 20, 2, 2)]
    inputs[0][0, 1, 2, 0] = float("nan")
    assert manhattan.manhattan_attention(*inputs)[0, 1, 2, :4].isnan().all()
    x, key, value = (t.float() for t in external_inputs(1, 40, 2, 4, 8))
    x[0, 7, 1] = float("nan")
    out = external.external_attention(x, key, value)
    assert out[0, 7, 1].isnan().all()
    assert out[0, :, 0].isfinite().all()


def test_q_k_and_v_may_lie_in_one_tensor_as_a_joint_projection_leaves_them():
    inputs = [t.float() for t in manhattan_inputs(2, 5, 7, 2, 3)]
    joined = torch.cat(inputs[:3], dim=-1).chunk(3, dim=-1)
    assert not joined[0].is_contiguous()
    expected = manhattan.manhattan_attention(*inputs)
    assert torch.equal(manhattan.manhattan_attention(*joined, *inputs[3:]), expected)
    moved = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in inputs[:3]]
    assert torch.equal(manhattan.manhattan_attention(*moved, *inputs[3:]), expected)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_does_not_change_a_bit(threads):
    inputs = [t.float() for t in manhattan_inputs(3, 8, 8, 4, 4)]
    others = [t.float() for t in external_inputs(3, 64, 4, 8, 16)]
    expected = (manhattan.manhattan_attention(*inputs), external.external_attention(*others))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert torch.equal(manhattan.manhattan_attention(*inputs), expected[0])
        assert torch.equal(external.external_attention(*others), expected[1])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("functions", "make", "wanted"),
    [
        (MANHATTAN, lambda: manhattan_inputs(1, 3, 4, 2, 2), (0, 1, 2, 6, 7)),
        (EXTERNAL, lambda: external_inputs(1, 9, 2, 4, 5), (0, 2)),
    ],
)
def test_second_derivatives_are_those_of_the_written_out_form(functions, make, wanted):
    torch.manual_seed(0)
    inputs, found = [t.float() for t in make()], []
    for function in functions:
        leaves = [t.clone().requires_grad_(i in wanted) for i, t in enumerate(inputs)]
        chosen = [leaves[i] for i in wanted]
        first = torch.autograd.grad(function(*leaves).square().sum(), chosen, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), chosen))
    assert_near(*found, 1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_operators_are_what_torch_expects_of_one(dtype):
    """Schemas, shapes of tensors without numbers, and gradients under torch.compile's tracing."""
    inputs = [t.float() for t in manhattan_inputs(2, 3, 5, 2, 2)]
    maps = [t.to(dtype).requires_grad_() for t in inputs[:3]]
    weights = [t.requires_grad_() for t in inputs[-2:]]
    torch.library.opcheck(torch.ops.hemf.manhattan.default, (*maps, *inputs[3:6], *weights))
    x, key, value = (t.float() for t in external_inputs(2, 15, 2, 4, 6))
    leaves = (x.to(dtype).requires_grad_(), key.requires_grad_(), value.requires_grad_())
    torch.library.opcheck(torch.ops.hemf.external.default, leaves)


@pytest.mark.parametrize("block", [ManhattanSelfAttention(16, 2), MultiHeadExternalAttention(16, 2, 8)])
def test_a_block_uses_its_kernel_unless_somebody_watches_a_layer(block):
    x = torch.randn(2, 16, 6, 6).to(memory_format=torch.channels_last)
    name = "hemf::manhattan" if isinstance(block, ManhattanSelfAttention) else "hemf::external"
    layer = block.lepe if isinstance(block, ManhattanSelfAttention) else block.memory_key

    def called() -> set[str]:
        with torch.profiler.profile() as profile:
            block(x)
        return {event.key for event in profile.key_averages()}

    expected = block(x)
    assert name in called()
    handle = layer.register_forward_hook(lambda *_: None)
    assert name not in called()
    torch.testing.assert_close(block(x), expected)
    handle.remove()


@pytest.mark.parametrize(
    "lepe",
    [
        torch.nn.Conv2d(8, 8, 3, padding=1, groups=8),
        torch.nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8),
        torch.nn.Conv2d(8, 8, 5, padding=2, groups=4),
        torch.nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False),
        torch.nn.Conv2d(8, 8, 5, padding=2, groups=8, padding_mode="reflect"),
    ],
)
def test_another_convolution_in_lepes_place_is_the_one_that_runs(lepe):
    block = ManhattanSelfAttention(8, 2)
    block.lepe = lepe
    q, k, v = torch.randn(3, 2, 6, 7, 8)
    terms = block.position(6, 7)
    expected = manhattan._written_out(q, k, v, *terms, torch.zeros(8, 1, 5, 5), torch.zeros(8))
    expected = expected + lepe(v.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(block.attend(q, k, v, terms), expected, rtol=1e-4, atol=1e-5)


def test_memories_with_biases_are_used_with_them():
    block, x = MultiHeadExternalAttention(8, 2, 6), torch.randn(2, 8, 5, 5)
    before = block(x)
    block.memory_value = torch.nn.Linear(6, 4)
    torch.nn.init.zeros_(block.memory_value.weight)
    torch.nn.init.ones_(block.memory_value.bias)
    assert not torch.allclose(block(x), before)
    torch.testing.assert_close(block(x), torch.ones(2, 8, 5, 5))


@pytest.mark.parametrize("place", range(8))
def test_shapes_that_do_not_fit_are_refused(place):
    inputs = [t.float() for t in manhattan_inputs(1, 3, 4, 2, 2)]
    inputs[place] = inputs[place][:-1] if place > 2 else inputs[place].bfloat16()
    with pytest.raises(ValueError, match="need float32 terms"):
        manhattan.manhattan_attention(*inputs)


def test_memories_that_do_not_fit_are_refused():
    x, key, value = (t.float() for t in external_inputs(1, 9, 2, 4, 5))
    for wrong in ((x, key[:, :3], value), (x, key, value[:, :3]), (x[..., :3], key, value)):
        with pytest.raises(ValueError, match="need float32 keys"):
            external.external_attention(*wrong)


def test_a_stride_that_means_nothing_is_not_believed():
    inputs = [t.float() for t in manhattan_inputs(2, 6, 1, 2, 2)]
    odd = [torch.empty_strided(t.shape, (48, 8, 48, 1)).copy_(t) for t in inputs[:3]]
    expected = manhattan.manhattan_attention(*inputs)
    assert torch.equal(manhattan.manhattan_attention(*odd, *inputs[3:]), expected)


@pytest.mark.parametrize("attention", ["manhattan", "external"])
def test_inputs_that_depend_on_each_other_count_once_in_second_derivatives(attention):
    x, key, value = (t.float() for t in external_inputs(1, 9, 2, 4, 5))
    q, _, _, *others = (t.float() for t in manhattan_inputs(1, 3, 4, 2, 2))
    leaf = (q if attention == "manhattan" else x).requires_grad_()
    if attention == "manhattan":
        out = manhattan.manhattan_attention(leaf, leaf, leaf * 2, *others)
    else:
        out = external.external_attention(external.external_attention(leaf, key, value) + leaf, key, value)
    (expected,) = torch.autograd.grad(out.square().sum(), leaf, retain_graph=True)
    (found,) = torch.autograd.grad(out.square().sum(), leaf, create_graph=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_has_second_derivatives():
    x, key, value = (t.float().requires_grad_() for t in external_inputs(1, 9, 2, 4, 5))
    out = external.external_attention(x.bfloat16(), key, value)
    (first,) = torch.autograd.grad(out.float().square().sum(), key, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), value)
    assert second.isfinite().all()
    assert second.abs().max() > 0


@pytest.mark.parametrize("spread", [30.0, 150.0])
def test_large_scores_keep_their_gradients(spread):
    torch.manual_seed(0)
    inputs = external_inputs(1, 196, 2, 8, 64)
    inputs[0], inputs[1] = spread * inputs[0], spread * inputs[1]
    exact = [t.float().double() for t in inputs]
    found, expected = (results(f, exact, (0, 1, 2), d) for f, d in zip(EXTERNAL, FULL, strict=True))
    assert_near(found[:1], expected[:1], 0.05)
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert (one - other).norm() < 0.1 * other.norm() + 1e-3


def test_learnable_terms_get_their_gradients():
    block = ManhattanSelfAttention(8, 2)
    terms = block.position(4, 4)
    bias = terms.row_bias.clone().requires_grad_()
    block.attend(*torch.randn(3, 1, 4, 4, 8), terms._replace(row_bias=bias)).sum().backward()
    assert bias.grad.abs().max() > 0


def test_backward_hooks_are_called():
    block, seen = ManhattanSelfAttention(8, 2), []
    block.lepe.register_full_backward_hook(lambda *_: seen.append(True))
    block(torch.randn(1, 8, 4, 4, requires_grad=True)).sum().backward()
    assert seen


@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_without_a_kernel_for_the_processor_the_numbers_are_the_same(capability, tmp_path):
    """Torch's environment variable chooses what it uses of the processor, and so what hemf does."""
    script = (
        "import sys, timm, torch, hemf.models\n"
        "from hemf.models.kernels import INSTRUCTION_SET\n"
        "torch.manual_seed(0)\n"
        "model = timm.create_model('hemf_nano', num_classes=3).eval()\n"
        "with torch.no_grad(): torch.save(model(torch.rand(2, 3, 64, 64)), sys.argv[1])\n"
        "print(INSTRUCTION_SET)\n"
    )
    order = ["default", "avx2", "avx512"]
    if order.index(capability) > order.index(INSTRUCTION_SET):
        pytest.skip("this processor has no more")
    found = []
    for name in (capability, INSTRUCTION_SET):
        path = tmp_path / f"{name}.pt"
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": name}
        command = [sys.executable, "-c", script, str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.split()[-1] == ("None" if name == "default" else name)
        found.append(torch.load(path))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_gradients_lie_as_their_weights_do():
    """DDP warns of gradients whose strides do not match its buckets, and copies them."""
    import timm

    model = timm.create_model("hemf_nano", num_classes=2).to(memory_format=torch.channels_last)
    images = torch.randn(1, 3, 64, 64).to(memory_format=torch.channels_last)
    model(images).sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad.stride() == weight.stride(), name
