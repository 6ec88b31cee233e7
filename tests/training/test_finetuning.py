"""Fine-tuning: first weights, a body that waits, layers with rates of their own, classes drawn evenly."""

from collections import Counter

import pytest
import timm
import torch

import hemf
from hemf import HemfError, RunConfig
from hemf.data.load import load_data
from hemf.data.loading.datamodule import ImageData
from hemf.training.network import build_optimizer
from hemf.weights.load import head_names


def weights_of(run):
    from safetensors.torch import load_file

    return load_file(run.path / "model" / "model.safetensors")


def test_a_run_starts_from_another_s_weights(train, capsys):
    first = train(epochs=1)
    second = train(name="second", init=str(first.path), epochs=1, lr=0.0)
    before, after = weights_of(first), weights_of(second)
    assert all(
        torch.equal(before[name], after[name])
        for name in before
        if "running" not in name and "num_" not in name
    )
    printed = capsys.readouterr().out
    assert f"weights from {first.path}: " in printed
    assert "input: 32 x 32 pixels" in printed


def test_only_the_head_learns_while_the_body_is_frozen(train):
    first = train(epochs=1)
    second = train(name="second", init=str(first.path), epochs=1, freeze_epochs=1)
    third = train(name="third", init=str(first.path), epochs=2, freeze_epochs=1)
    before, frozen, thawed = weights_of(first), weights_of(second), weights_of(third)
    head = head_names(timm.create_model("test_efficientnet"))
    assert all(torch.equal(before[name], frozen[name]) == (name not in head) for name in before)
    assert not all(torch.equal(before[name], thawed[name]) for name in before if name not in head)


def test_the_statistics_of_normalisation_stay_where_that_is_asked(train):
    first = train(epochs=1)
    fixed = train(name="second", init=str(first.path), epochs=1, freeze_norm=True)
    moved = train(name="third", init=str(first.path), epochs=1)
    before, after, others = weights_of(first), weights_of(fixed), weights_of(moved)
    running = [name for name in before if "running_" in name]
    assert running
    assert all(torch.equal(before[name], after[name]) for name in running)
    assert not any(torch.equal(before[name], others[name]) for name in running)
    assert not torch.equal(before["conv_stem.weight"], after["conv_stem.weight"])


def test_layers_learn_the_slower_the_lower_they_are():
    config = RunConfig.of(layer_decay=0.5, lr=1.0)
    model = timm.create_model("test_efficientnet", num_classes=3)
    optimizer = build_optimizer(config, model)
    rate = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    assert rate[id(model.classifier.weight)] == 1.0
    assert 0 < rate[id(model.conv_stem.weight)] < rate[id(model.blocks[-1][0].conv_pwl.weight)] < 1.0


@pytest.mark.parametrize(("sampling", "blue"), [("natural", 10), ("square-root", 13), ("balanced", 17)])
def test_classes_are_drawn_as_asked(colours, sampling, blue):
    config = RunConfig.of(data=str(colours), sampling=sampling, image_size=32)
    images = ImageData(load_data(colours), config)
    sampler, samples = images.train_dataloader().sampler, images.samples("train")
    drawn = Counter()
    for epoch in range(40):
        sampler.set_epoch(epoch)
        drawn.update(samples[index].label for _, index in sampler)
    assert drawn["blue"] / 40 == pytest.approx(blue, abs=1.2)
    assert sum(drawn.values()) == 40 * len(samples)


def test_a_stranger_s_recipe_names_no_weights(colours, tmp_path):
    (tmp_path / "theirs.yaml").write_text(f"init: {tmp_path / 'x.pth'}\nepochs: 1\n")
    with pytest.raises(HemfError, match="sets --init"):
        hemf.train(data=str(colours), recipe=str(tmp_path / "theirs.yaml"), out=str(tmp_path))
