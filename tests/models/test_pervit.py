"""PerViT: the published numbers, the distances, and cached position weights."""

import copy
import pickle

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import Probe, authors_checkpoint, error, golden_numbers, rule, shapes_alone

import hemf.models.pervit
from hemf.models.convert import convert
from hemf.models.pervit import token_distances

NAME = "pervit_medium"
AUTHORS = "pervit_m"
SMALL = {"stem_dims": (8, 8, 8), "dims": (16, 24, 32, 40), "num_heads": 4}


def small(**kwargs):
    torch.manual_seed(0)
    return timm.create_model(NAME, **{"num_classes": 7, **SMALL, **kwargs})


def images(batch=2, height=64, width=64, channels=3):
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def published(golden):
    model = timm.create_model(NAME, num_classes=7)
    model.load_state_dict(convert(authors_checkpoint(golden, AUTHORS), NAME))
    return model.eval()


@pytest.mark.golden
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param(torch.float64, 1e-9, marks=pytest.mark.slow), (torch.float32, 1e-4)],
)
def test_reproduces_the_published_numbers(golden, published, dtype, tolerance):
    numbers = golden_numbers(golden, AUTHORS)
    model = copy.deepcopy(published).to(dtype)
    probe = Probe()
    probe.watch("stem", model.stem, lambda out: out.flatten(2).transpose(1, 2))
    for index, block in enumerate(model.blocks):
        probe.watch(f"block{index}", block, lambda out: out.flatten(1, 2))
        probe.watch(f"attn_block{index}", block.attn, lambda out: out.flatten(1, 2))
        probe.watch(f"position_weight_block{index}", block.attn.position, lambda out: out.exp()[None])
    probe.watch("norm", model.norm, lambda out: out.flatten(1, 2))
    x = rule(golden).make_input("input").to(dtype)
    with torch.no_grad():
        assert error(model(x), numbers["logits"]) <= tolerance
        assert max(probe.errors(numbers["features"]).values()) <= tolerance
        model.cache_position_weights()
        probe.seen.clear()
        assert error(model(x), numbers["logits"]) <= tolerance
    assert not any(name.startswith("position_weight") for name in probe.seen)


@pytest.mark.golden
@pytest.mark.slow
def test_reproduces_the_published_numbers_with_exact_distances(golden, published, monkeypatch):
    def exact(height, width, device):
        return token_distances(height, width, device, torch.float64)

    monkeypatch.setattr(hemf.models.pervit, "token_distances", exact)
    model = copy.deepcopy(published).double()
    with torch.no_grad():
        logits = model(rule(golden).make_input("input").double())
    assert error(logits, golden_numbers(golden, AUTHORS)["logits_rpe_built_in_float64"]) <= 1e-9


@pytest.mark.golden
def test_distances_are_the_published_ones_to_the_last_bit(golden):
    wanted = golden_numbers(golden, AUTHORS)["rpe"]
    compared = 0
    for index, value in zip(wanted["probe_index"], wanted["probe"], strict=True):
        (row, column), key = divmod(index // 324, 18), index % 324
        if 2 <= row < 16 and 2 <= column < 16:  # padded queries are not computed here
            compared += 1
            assert token_distances(14, 14)[(row - 2) * 14 + column - 2, key // 18, key % 18].item() == value
    assert compared >= 5


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 20), st.integers(2, 20))
def test_tokens_lie_two_thirteenths_apart_whatever_the_size(height, width):
    distances = token_distances(height, width).unflatten(0, (height, width))
    row, column = torch.arange(height), torch.arange(width)
    rows = torch.arange(-2, height + 2) - row[:, None]
    columns = torch.arange(-2, width + 2) - column[:, None]
    steps = torch.hypot(rows[:, None, :, None].double(), columns[None, :, None, :].double())
    torch.testing.assert_close(distances.double(), steps * 2 / 13, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("num_classes", "parameters"), [(7, 43_043_731), (1000, 43_723_936)])
def test_has_the_published_parameters(num_classes, parameters):
    with torch.device("meta"):
        model = timm.create_model(NAME, num_classes=num_classes)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_begins_by_looking_near_in_early_blocks_and_everywhere_in_late_ones():
    model = small()
    distances = model.distance_embed.embed([4, 4])
    weights = [block.attn.position(distances).exp() for block in model.blocks]
    near, far = weights[0][:, 0, 0], weights[0][:, 0, -1]
    assert (near > far).all()
    assert weights[0].mean() < 0.5 < 0.9 < weights[-1].mean()
    assert weights[-1].std() < 0.01


class TestCache:
    def test_gives_the_same_logits_without_the_position_networks(self):
        model = small().eval()
        x = images()
        with torch.no_grad():
            logits = model(x)
            model.cache_position_weights((64, 64))
            for block in model.blocks:
                block.attn.position.register_forward_hook(lambda *_: pytest.fail("not cached"))
            torch.testing.assert_close(model(x), logits)

    def test_serves_its_size_only(self):
        model = small().eval()
        x = images(height=48, width=96)
        with torch.no_grad():
            logits = model(x)
            model.cache_position_weights((64, 64))
            torch.testing.assert_close(model(x), logits)
            model.cache_position_weights((48, 96))
            torch.testing.assert_close(model(x), logits)

    def test_is_dropped_by_training_and_by_new_weights(self):
        model, other = small().eval(), small().eval()
        torch.nn.init.normal_(other.blocks[0].attn.position.conv1.weight)
        x = images()
        with torch.no_grad():
            model.cache_position_weights((64, 64))
            model.load_state_dict(other.state_dict())
            torch.testing.assert_close(model(x), other(x))
            model.cache_position_weights((64, 64))
        model.train()(x).sum().backward()
        assert model.blocks[0].attn.position.conv1.weight.grad is not None

    def test_is_neither_saved_nor_lost_on_the_way(self):
        model = small().eval()
        names = set(model.state_dict())
        model.cache_position_weights((64, 64))
        assert set(model.state_dict()) == names
        assert model.double().blocks[0].attn.cached.dtype == torch.float64
        again = pickle.loads(pickle.dumps(model))
        with torch.no_grad():
            torch.testing.assert_close(again(images().double()), model(images().double()))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (50, 70), (17, 240)])
def test_takes_other_sizes_and_channels(height, width):
    model = small(in_chans=1).eval()
    with torch.no_grad():
        features = model.forward_features(images(2, height, width, channels=1))
        assert features.shape == (2, 40, -(-height // 16), -(-width // 16))
        assert model.forward_head(features).shape == (2, 7)


def test_a_size_too_small_is_refused_in_one_line():
    with pytest.raises(ValueError, match="at least 17, got 16 x 64: enlarge") as caught:
        small()(images(1, 16, 64))
    assert "\n" not in str(caught.value)


def test_trains_on_a_batch_of_one():
    assert small()(images(1)).shape == (1, 7)


def test_features_only_gives_the_stages_last_maps():
    assert small(features_only=True).feature_info.out_indices == (1, 3, 9, 11)


def test_compiles_and_exports_with_cached_position_weights():
    model = small(depths=(1, 1, 1, 1)).eval()
    x = images(height=32, width=32)
    model.cache_position_weights((32, 32))
    with torch.no_grad():
        logits = model(x)
        torch.compiler.reset()
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), logits)
        exported = torch.export.export(model, (x,)).module()
        torch.testing.assert_close(exported(x), logits)


def test_stochastic_depth_and_dropout_reach_the_layers():
    model = small(drop_path_rate=0.3, drop_rate=0.4)
    rates = [block.drop_path.drop_prob for block in model.blocks[1:]]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.3)
    assert model.head.drop.p == 0.4


@pytest.mark.golden
class TestConverter:
    def test_takes_the_number_of_classes_from_the_head(self, golden):
        theirs = shapes_alone(golden, AUTHORS)
        theirs |= {"head.weight": torch.zeros(3, 684), "head.bias": torch.zeros(3)}
        assert convert({"model": theirs}, NAME)["head.fc.weight"].shape == (3, 684)

    def test_refuses_unknown_missing_and_misshapen(self, golden):
        theirs = shapes_alone(golden, AUTHORS)
        with pytest.raises(ValueError, match="unknown stranger"):
            convert({**theirs, "stranger": torch.zeros(1)}, NAME)
        with pytest.raises(ValueError, match=r"missing blocks.1.res_path.bias"):
            convert({k: v for k, v in theirs.items() if k != "blocks.1.res_path.bias"}, NAME)
        with pytest.raises(ValueError, match=r"wrong shapes.*rpe_proj.weight"):
            convert({**theirs, "rpe_proj.weight": torch.zeros(12, 1)}, NAME)
