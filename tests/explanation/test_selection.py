"""Which stage decided: parts that add up to the logit, of the stages that the network mixes."""

import numpy as np
import pytest
import timm
import torch

import hemf.models  # noqa: F401  registers the models
from hemf.core.errors import HemfError
from hemf.explanation.gradcam import heat_maps, stage_heat_maps
from hemf.explanation.layers import default_layer, stage_layers
from hemf.explanation.selection import selected_stages, selects

ONES = (1, 1, 1, 1)
SMALL = {"dims": (8, 16, 24, 32), "num_heads": 2, "local_depths": ONES, "global_depths": ONES}


def network(selection: str = "dynamic", **arguments) -> torch.nn.Module:
    """A small HEMF whose weights of the stages are no longer even, in training mode."""
    torch.manual_seed(0)
    model = timm.create_model("hemf_nano", num_classes=3, selection=selection, **SMALL, **arguments)
    if selection != "last":
        torch.nn.init.normal_(model.selection.prior)
    if selection == "dynamic":
        torch.nn.init.normal_(model.selection.gate.weight)
    for norm in (model.head.norm, *(model.selection.norms if selection != "last" else ())):
        torch.nn.init.normal_(norm.weight, 1.0, 0.3)
        torch.nn.init.normal_(norm.bias, std=0.3)
    return model


def images(batch: int = 4) -> torch.Tensor:
    return torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("selection", ["static", "dynamic"])
@pytest.mark.parametrize("pool", ["avg", "max", "avgmax"])
def test_evidence_and_a_constant_of_the_class_add_up_to_the_logit(selection, pool):
    model = network(selection, global_pool=pool)
    found = selected_stages(model, images(), [2, 0, 1, 2])
    with torch.no_grad():
        logits = model.eval()(images()).double()
        norm, classify = model.head.norm, model.get_classifier()
        constant = (classify.weight @ norm.bias + classify.bias).double()
    for image, target in enumerate([2, 0, 1, 2]):
        above = logits[image, target] - logits[image].mean()
        rest = constant[target] - constant.mean()
        assert found[image].evidence.sum() == pytest.approx((above - rest).item(), abs=1e-5)
        assert found[image].weights.sum() == pytest.approx(1, abs=1e-6)


def test_a_stage_that_shows_nothing_has_no_evidence_and_does_not_decide():
    model = network()
    with torch.no_grad():
        for stage in (0, 1, 3):
            model.selection.norms[stage].weight.zero_()
            model.selection.norms[stage].bias.zero_()
    for found in selected_stages(model, images()):
        assert (found.evidence[[0, 1, 3]] == 0).all()
        assert found.decided == (3 if found.evidence[2] > 0 else None)
        assert found.evidence[2] != 0


def test_by_default_the_class_is_the_predicted_one_and_the_model_stays_as_it_was():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = selected_stages(model, images())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.head.norm._forward_hooks
    predicted = model.eval()(images()).argmax(1).tolist()
    for one, other in zip(found, selected_stages(model, images(), predicted), strict=True):
        np.testing.assert_array_equal(one.evidence, other.evidence)
    with pytest.raises(HemfError, match="give one an image"):
        selected_stages(model, images(), [3, 0, 0, 0])


def test_heat_is_taken_from_the_mixture_that_the_head_reads():
    model = network()
    assert default_layer(model) == default_layer(model, images()) == "selection"
    assert heat_maps(model, images()).shape == (4, 2, 2)
    assert stage_layers(model, images())["fusion"] == [f"stages.{i}.fusion" for i in range(4)]
    found = stage_heat_maps(model, images())
    assert {branch: len(maps) for branch, maps in found.items()} == {"local": 4, "global": 4, "fusion": 4}
    assert found["fusion"][0].shape == (4, 16, 16)


def test_others_do_not_select():
    assert selects(network())
    assert selects(network("static", branches="local"))
    assert not selects(network("last"))
    assert not selects(timm.create_model("test_resnet"))
