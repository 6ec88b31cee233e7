"""What all networks have in common: timm's interface, learning, and PyTorch's ways to run a model."""

import copy
import re

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import DropPath
from timm.models import group_parameters

import hemf.models  # noqa: F401  registers the models
from hemf.models.blocks.pyramid import ResidualBlock

WINDOWS = {
    "dims": (32, 64, 128, 256),
    "local_depths": (1, 1, 2, 1),
    "global_depths": (1, 1, 2, 1),
    "num_heads": (1, 2, 4, 8),
}
PYRAMID = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}
SMALL = {
    "hemf_nano": {"local_depths": (1, 1, 2, 1), "global_depths": (1, 1, 2, 1)},
    "hemf_tiny": {
        "dims": (8, 16, 24, 32),
        "num_heads": 2,
        "local_depths": (1, 1, 2, 1),
        "global_depths": (1, 1, 2, 1),
        "selection": "dynamic",
    },
    "hifuse_tiny": WINDOWS,
    "came": WINDOWS,
    "uniformer_base": {**PYRAMID, "head_dim": 8},
    "biformer_base": {**PYRAMID, "head_dim": 4},
    "conformer_base_patch16": {"dims": (16, 32, 64), "embed_dim": 24, "num_heads": 3, "depths": (2, 1, 2)},
    "pervit_medium": {
        "stem_dims": (8, 8, 8),
        "dims": (16, 24, 32, 40),
        "num_heads": 4,
        "depths": (1, 1, 2, 1),
    },
}
SELECTING = "hemf_tiny"
STAGED = ["hemf_nano", SELECTING, "hifuse_tiny", "came"]
PYRAMIDS = ["uniformer_base", "biformer_base"]
DIVISIBLE = [*STAGED, "uniformer_base", "conformer_base_patch16"]
ONE_HEAD = [name for name in SMALL if not name.startswith("conformer")]
# In PerViT, a constant before a normalisation cancels: its gradient is zero but for rounding.
CANCELS = ("position.conv1.bias", "position.conv2.bias", "distance_embed.bias", "stem.0.0.bias")

every_network = pytest.mark.parametrize("name", SMALL)


def small(name, **kwargs):
    torch.manual_seed(0)
    return timm.create_model(name, **{"num_classes": 7, **SMALL[name], **kwargs})


def images(name, batch=2):
    """Images of a size that the network takes without padding."""
    side = 112 if name == "biformer_base" else 64
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1))


def heads(out):
    """The logits of each head: Conformer has two in training."""
    return out if isinstance(out, tuple) else (out,)


@every_network
def test_every_parameter_gets_a_gradient(name):
    model = small(name).double()
    logits = heads(model(images(name, 4).double()))
    sum(F.cross_entropy(one, torch.arange(4)) for one in logits).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not [n for n in without if name != "pervit_medium" or not n.endswith(CANCELS)]


@every_network
def test_a_few_steps_lower_the_loss(name):
    model = small(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2 if name in PYRAMIDS else 1e-3)
    x, target = images(name, 4), torch.tensor([0, 1, 0, 1])
    losses = []
    for _ in range(5):
        loss = sum(F.cross_entropy(logits, target) for logits in heads(model(x)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@every_network
def test_an_image_does_not_depend_on_its_batch_nor_on_memory_format(name):
    model, x = small(name).eval().double(), images(name).double()
    with torch.no_grad():
        together, alone = model(x), model(x[1:])
        model.to(memory_format=torch.channels_last)
        channels_last = model(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(together[1:], alone)
    torch.testing.assert_close(channels_last, together)


@pytest.mark.parametrize("name", DIVISIBLE)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 96), (160, 64)])
def test_takes_any_multiple_of_32(name, height, width):
    with torch.no_grad():
        assert small(name).eval()(torch.zeros(1, 3, height, width)).shape == (1, 7)


@pytest.mark.parametrize("name", DIVISIBLE)
@pytest.mark.parametrize(("height", "width", "near"), [(100, 64, "96 x 64"), (32, 8, "32 x (32|16)")])
def test_a_size_it_cannot_take_is_refused_in_one_line(name, height, width, near):
    with pytest.raises(ValueError, match=f"divisible by .., got {height} x {width}: .* {near}$") as caught:
        small(name)(torch.zeros(1, 3, height, width))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ONE_HEAD)
def test_features_and_head_follow_timm(name):
    model, x = small(name).eval(), images(name)
    with torch.no_grad():
        features = model.forward_features(x)
        assert features.shape[:2] == (2, model.num_features)
        pooled = model.forward_head(features, pre_logits=True)
        if name not in STAGED:  # whose last norm is after the pooling
            torch.testing.assert_close(pooled, features.mean((2, 3)))
        torch.testing.assert_close(model(x), model.get_classifier()(pooled))
        model.reset_classifier(0)
        torch.testing.assert_close(model(x), pooled)
        model.reset_classifier(3, "max")
        assert model(x).shape == (2, model.num_classes) == (2, 3)
        if name not in STAGED:
            torch.testing.assert_close(model(x), model.get_classifier()(features.amax((2, 3))))
        model.reset_classifier(0, "")
        assert model(x).shape == features.shape
        grey = small(name, num_classes=0, in_chans=1).eval()
        assert grey(x[:, :1]).shape == (2, model.num_features)


@every_network
def test_intermediates_are_the_maps_of_the_parts(name):
    model, x = small(name).eval(), images(name)
    with torch.no_grad():
        features, maps = model.forward_intermediates(x, norm=True)
        torch.testing.assert_close(features, model.forward_features(x))
        if name == SELECTING:
            torch.testing.assert_close(model.selection(maps), features)
        else:
            torch.testing.assert_close(maps[-1], features[:, : maps[-1].shape[1]])  # a token goes after
        assert [tuple(m.shape[1:]) for m in maps] == [
            (info["num_chs"], *2 * [-(-x.shape[2] // info["reduction"])]) for info in model.feature_info
        ]
        early, (second,) = model.forward_intermediates(x, indices=[1], stop_early=True)
        torch.testing.assert_close(second, maps[1])
        torch.testing.assert_close(early[:, : maps[1].shape[1]], maps[1])
        (last,) = model.forward_intermediates(x, indices=1, intermediates_only=True)
        if name in PYRAMIDS:
            torch.testing.assert_close(model.norm(last), features)
    with pytest.raises(ValueError, match="maps come as NCHW only, not NLC"):
        model.forward_intermediates(x, output_fmt="NLC")


@every_network
@pytest.mark.parametrize("out_indices", [(0, 1, 2, 3), (1,), (0, 2)])
def test_features_only(name, out_indices):
    model, x = small(name, features_only=True, out_indices=out_indices).eval(), images(name)
    with torch.no_grad():
        maps = model(x)
        whole = small(name).eval().forward_intermediates(x, list(out_indices), intermediates_only=True)
    torch.testing.assert_close(maps, whole)
    info = model.feature_info
    assert [m.shape[1] for m in maps] == info.channels()
    assert [m.shape[2] for m in maps] == [-(-x.shape[2] // reduction) for reduction in info.reduction()]
    assert set(info.module_name()) <= set(dict(model.model.named_modules()))


@every_network
def test_checkpointing_changes_no_gradient_and_no_batch_statistic(name):
    plain = small(name)
    spared = copy.deepcopy(plain)
    spared.set_grad_checkpointing()
    for model in (plain, spared):
        sum(logits.square().sum() for logits in heads(model(images(name)))).backward()
    for (parameter, a), b in zip(plain.named_parameters(), spared.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=parameter)
    torch.testing.assert_close(dict(plain.named_buffers()), dict(spared.named_buffers()))


@every_network
def test_checkpointing_remembers_less(name):
    def remembered(model):
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        sizes = []

        def note(tensor):
            if tensor.untyped_storage().data_ptr() not in weights:
                sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(images(name))
        return sum(sizes)

    plain, spared = small(name), small(name)
    spared.set_grad_checkpointing()
    assert remembered(spared) < 0.95 * remembered(plain)


@every_network
@pytest.mark.parametrize("coarse", [False, True])
def test_layer_groups_cover_every_parameter_in_order(name, coarse):
    model = small(name)
    names = {id(p): n for n, p in model.named_parameters()}
    groups = group_parameters(model, model.group_matcher(coarse))
    assert sorted(n for group in groups.values() for n in group) == sorted(names.values())
    assert all(re.match(model.group_matcher(coarse)["stem"], n) for n in groups[0])
    assert model.no_weight_decay() <= set(names.values())
    depth = {n: number for number, group in groups.items() for n in group}
    classifier = heads(model.get_classifier())[0]
    depths = [
        depth[names[id(next(part.parameters()))]] for part in (*getattr(model, model.chain), classifier)
    ]
    assert depths == sorted(depths)
    assert depths[-1] == max(groups)
    if name in STAGED:
        assert len(groups) == (6 if coarse else 2 + 3 * 4 - 1)  # the first stage does not downsample


@pytest.mark.slow
@every_network
def test_compiles_and_exports_for_any_batch(name):
    torch.compiler.reset()  # what other tests compiled counts towards dynamo's limit
    model, x = small(name).eval(), images(name)
    batch = torch.export.Dim("batch", min=1, max=64)
    with torch.no_grad():
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), model(x))
        exported = torch.export.export(model, (x,), dynamic_shapes=({0: batch},)).module()
        for other in (x[:1], torch.cat([x, x.flip(0), x[:1]])):
            torch.testing.assert_close(exported(other), model(other), rtol=1e-4, atol=1e-5)


@every_network
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_runs_under_autocast(name, dtype):
    model, x = small(name).eval(), images(name)
    with torch.no_grad():
        logits = model(x)
        with torch.autocast("cpu", dtype):
            half = model(x)
    assert half.dtype == dtype
    assert (half.float() - logits).abs().max() < 0.1 * logits.abs().max()


@pytest.mark.parametrize("name", STAGED)
def test_stochastic_depth_rises_to_its_rate_in_both_branches(name):
    rates = [m.drop_prob for m in small(name, drop_path_rate=0.4).modules() if isinstance(m, DropPath)]
    assert sorted(rates) == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4])
    assert not any(isinstance(m, DropPath) for m in small(name).modules())


@pytest.mark.parametrize("name", PYRAMIDS)
@settings(max_examples=10, deadline=None)
@given(rate=st.floats(0.01, 0.9), depths=st.tuples(*[st.integers(1, 3)] * 4))
def test_stochastic_depth_rises_to_its_rate(name, rate, depths):
    with torch.device("meta"):
        model = small(name, drop_path_rate=rate, depths=depths)
    rates = [getattr(m.drop_path, "drop_prob", 0) for m in model.modules() if isinstance(m, ResidualBlock)]
    assert rates == pytest.approx([rate * i / (sum(depths) - 1) for i in range(sum(depths))])


@pytest.mark.parametrize("name", ONE_HEAD)
def test_dropout_is_before_the_classifier(name):
    assert small(name, drop_rate=0.4).head.drop.p == 0.4


@every_network
def test_an_output_stride_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match=rf"^{name} has no output_stride.*Unet or FPN$"):
        small(name, features_only=True, output_stride=16)


@pytest.mark.parametrize("name", [name for name in STAGED if name != SELECTING])
def test_the_last_fusion_is_a_layer_for_heat_maps(name):
    model, seen = small(name).eval(), []
    model.stages[-1].fusion.register_forward_hook(lambda _, __, out: seen.append(out))
    assert torch.equal(model.forward_features(images(name)), seen[0])


@pytest.mark.parametrize("name", PYRAMIDS)
def test_heads_that_do_not_fit_are_named(name):
    with pytest.raises(ValueError, match=r"^24 channels do not divide into heads of 7: choose a multiple$"):
        small(name, head_dim=7, dims=(14, 14, 24, 56))
