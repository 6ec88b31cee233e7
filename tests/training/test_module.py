import pytest
import torch

from hemf import HemfError, RunConfig
from hemf.training.network import build_model, build_optimizer, model_args, seed_everything


def config(**options) -> RunConfig:
    return RunConfig(**{"model": "test_vit", "image_size": 32} | options)


def test_same_seed_same_weights():
    first, second, other = (build_model(config(seed=seed), 3).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_image_size_and_channels_reach_the_models_that_ask():
    assert model_args(config(image_size=(32, 48))) == {"img_size": (32, 48)}
    assert model_args(config(model="test_efficientnet")) == {}
    assert model_args(config(model="test_efficientnet", in_chans=1)) == {"in_chans": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "test_vitt"}, "no model 'test_vitt'; did you mean .*test_vit"),
        ({"model_args": {"wings": 2}}, "cannot build test_vit .*wings"),
        ({"model": "hemf_nano", "image_size": 100}, "hemf_nano does not work on images of 100 x 100: .*32"),
        ({"model_args": {"global_pool": ""}}, r"cannot build|outputs of shape"),
    ],
)
def test_a_model_that_cannot_be_is_refused_with_the_mend(options, message):
    with pytest.raises(HemfError, match=message) as caught:
        build_model(config(**options), 3)
    assert "\n" not in str(caught.value)


def test_weight_decay_spares_vectors_biases_and_what_the_model_names():
    model = build_model(config(), 3)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = build_optimizer(config(weight_decay=0.3), model).param_groups
    decayed = {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]}
    spared = {names[id(p)] for group in groups if not group["weight_decay"] for p in group["params"]}
    assert decayed | spared == set(names.values())
    assert {group["weight_decay"] for group in groups} == {0.0, 0.3}
    assert all(
        p.ndim <= 1 or name in model.no_weight_decay()
        for name, p in model.named_parameters()
        if name in spared
    )
    assert all(
        p.ndim > 1 and not name.endswith(".bias") for name, p in model.named_parameters() if name in decayed
    )
    assert "pos_embed" in spared


def test_unknown_optimizer_names_near_ones():
    with pytest.raises(HemfError, match=r"no optimizer 'adamv'; did you mean .*adam"):
        build_optimizer(config(optimizer="adamv"), build_model(config(), 3))


def test_each_step_has_its_own_random_numbers():
    def draw(*keys):
        seed_everything(*keys)
        return torch.rand(3)

    assert torch.equal(draw(0, 1, 2), draw(0, 1, 2))
    assert not torch.equal(draw(0, 1, 2), draw(0, 2, 1))
    assert not torch.equal(draw(0, 12), draw(0, 1, 2))
