"""Conformer: the published numbers, two heads, and what else is its own."""

import pytest
import timm
import torch
from zoo import Probe, authors_checkpoint, error, golden_numbers, rule, shapes_alone

import hemf.models  # noqa: F401  registers the model
from hemf.models.convert import convert

NAME = "conformer_base_patch16"
AUTHORS = "conformer_base_p16"
SMALL = {"dims": (16, 32, 64), "embed_dim": 24, "num_heads": 3}


def small(**kwargs):
    torch.manual_seed(0)
    return timm.create_model(NAME, **{"num_classes": 7, **SMALL, **kwargs})


def images(batch=2, height=64, width=64, channels=3):
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.golden
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param(torch.float64, 1e-9, marks=pytest.mark.slow), (torch.float32, 1e-4)],
)
def test_reproduces_the_published_numbers(golden, dtype, tolerance):
    numbers = golden_numbers(golden, AUTHORS)
    model = timm.create_model(NAME, num_classes=7)
    model.load_state_dict(convert(authors_checkpoint(golden, AUTHORS), NAME))
    model.eval().to(dtype)
    probe = Probe()
    probe.watch("stem", model.stem)
    probe.watch("conv_1", model.first_conv, lambda out: out[0])
    probe.watch("trans_1", model.first_trans)
    probe.watch("squeeze_2", model.blocks[0].down)
    probe.watch("expand_2", model.blocks[0].up)
    for number, block in enumerate(model.blocks, start=2):
        probe.watch(f"conv_trans_{number}.0", block, lambda out: out[0])
        probe.watch(f"conv_trans_{number}.1", block, lambda out: out[1])
    probe.watch("trans_norm", model.norm)
    with torch.no_grad():
        features = model.forward_features(rule(golden).make_input("input").to(dtype))
        logits = model.forward_head(features)
        conv_logits, trans_logits = model.train().forward_head(features)
    assert error(logits, numbers["logits"]) <= tolerance
    assert error(conv_logits, numbers["logits_conv"]) <= tolerance
    assert error(trans_logits, numbers["logits_trans"]) <= tolerance
    assert max(probe.errors(numbers["features"]).values()) <= tolerance


@pytest.mark.parametrize(("num_classes", "parameters"), [(7, 81_189_934), (1000, 83_289_136)])
def test_has_the_published_parameters(num_classes, parameters):
    with torch.device("meta"):
        model = timm.create_model(NAME, num_classes=num_classes)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_training_gives_both_heads_and_evaluation_their_sum():
    model = small()
    features = model.forward_features(images())
    conv_logits, trans_logits = model.forward_head(features)
    assert conv_logits.shape == trans_logits.shape == (2, 7)
    model.set_separate_heads(False)
    torch.testing.assert_close(model.forward_head(features), conv_logits + trans_logits)
    model.set_separate_heads(True)
    torch.testing.assert_close(model.eval().forward_head(features), conv_logits + trans_logits)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 96), (64, 32)])
def test_takes_other_sizes_and_channels(height, width):
    model = small(in_chans=1).eval()
    with torch.no_grad():
        assert model(images(2, height, width, channels=1)).shape == (2, 7)


def test_features_and_head_follow_timm():
    model = small().eval()
    x = images()
    with torch.no_grad():
        features = model.forward_features(x)
        assert features.shape == (2, 64 + 24, 2, 2)
        assert torch.equal(features[:, 64:], features[:, 64:, :1, :1].expand(-1, -1, 2, 2))
        pooled = model.forward_head(features, pre_logits=True)
        torch.testing.assert_close(pooled, features.mean((2, 3)))
        assert pooled.shape == (2, model.num_features) == (2, 64 + 24)
        conv_head, trans_head = model.get_classifier()
        logits = conv_head(pooled[:, :64]) + trans_head(pooled[:, 64:])
        torch.testing.assert_close(model(x), logits)
        model.reset_classifier(0)
        torch.testing.assert_close(model(x), pooled)
        torch.testing.assert_close(model.train().forward_head(features), pooled)
        model.reset_classifier(3)
        assert model.eval()(x).shape == (2, 3)
        assert small(num_classes=0).eval()(x).shape == (2, 88)


@pytest.mark.parametrize("act", [lambda m: m.reset_classifier(5, "max"), lambda m: m.reset_classifier(5, "")])
def test_poolings_it_does_not_have_are_refused(act):
    with pytest.raises(ValueError, match="global_pool"):
        act(small())


def test_stochastic_depth_and_dropout_reach_the_layers():
    model = small(drop_path_rate=0.3, drop_rate=0.4)
    rates = [block.trans.drop_path1.drop_prob for block in model.blocks]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.3)
    assert model.head_drop.p == 0.4


@pytest.mark.golden
class TestConverter:
    def test_takes_the_number_of_classes_from_the_head(self, golden):
        theirs = shapes_alone(golden, AUTHORS)
        for head in ("conv_cls_head", "trans_cls_head"):
            theirs[f"{head}.weight"] = theirs[f"{head}.weight"].new_empty(
                3, theirs[f"{head}.weight"].shape[1]
            )
            theirs[f"{head}.bias"] = theirs[f"{head}.bias"].new_empty(3)
        assert convert({"model": theirs}, NAME)["conv_head.weight"].shape == (3, 1536)

    def test_refuses_unknown_missing_and_misshapen(self, golden):
        theirs = shapes_alone(golden, AUTHORS)
        with pytest.raises(ValueError, match="unknown stranger"):
            convert({**theirs, "stranger": torch.zeros(1)}, NAME)
        with pytest.raises(ValueError, match=r"missing conv_trans_5.cnn_block.residual_bn.bias"):
            convert({k: v for k, v in theirs.items() if k != "conv_trans_5.cnn_block.residual_bn.bias"}, NAME)
        with pytest.raises(ValueError, match=r"wrong shapes.*cls_token"):
            convert({**theirs, "cls_token": torch.zeros(1, 2, 576)}, NAME)
