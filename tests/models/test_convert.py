"""Authors' checkpoints become ours whole, or an error lists what is wrong."""

import warnings

import pytest
import timm
import torch
from zoo import authors_names

import hemf
import hemf.models
from hemf.models.convert import _LAYOUTS, convert, left_out


@pytest.fixture
def theirs(golden):
    """A checkpoint of the authors' shapes on no memory, except for its constants."""
    state = {k: torch.empty(shape, device="meta") for k, shape in authors_names(golden, "hemf").items()}
    return state | dict(_LAYOUTS["hemf_base"]().constants)


def fits(converted, num_classes=7):
    with torch.device("meta"):
        ours = timm.create_model("hemf_base", num_classes=num_classes).state_dict()
    return {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in ours.items()}


@pytest.mark.golden
@pytest.mark.parametrize("wrapper", [None, "net", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_takes_every_wrapping(theirs, wrapper, prefix):
    state = {prefix + name: value for name, value in theirs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fits(hemf.convert({wrapper: state, "epoch": 3} if wrapper else state))


@pytest.mark.golden
def test_takes_the_number_of_classes_from_the_head(theirs):
    theirs["conv_head.weight"] = torch.empty(2, 768)
    theirs["conv_head.bias"] = torch.empty(2)
    assert fits(convert(theirs), num_classes=2)


@pytest.mark.golden
def test_leaves_out_what_is_never_used_by_name(theirs):
    dropped = left_out(theirs)
    parameters = sum(theirs[name].numel() for name in dropped if name.endswith(("weight", "bias")))
    assert parameters == 1_591_104
    assert fits(convert({name: value for name, value in theirs.items() if name not in dropped}))


@pytest.mark.golden
def test_lists_what_is_unknown_and_missing(theirs):
    del theirs["fu3.sa_l.conv1.weight"]
    theirs["stages.9.extra"] = torch.empty(1)
    with pytest.raises(ValueError, match=r"unknown stages\.9\.extra; missing fu3\.sa_l\.conv1\.weight"):
        convert(theirs)


@pytest.mark.golden
def test_lists_a_sensible_number_of_names(theirs):
    with pytest.raises(
        ValueError, match=r"unknown x; missing stages\.0\.0\.conv\.bias, .* and 276 more"
    ) as caught:
        convert({k: v for k, v in theirs.items() if not k.startswith("stages")} | {"x": torch.empty(1)})
    assert len(str(caught.value)) < 600


@pytest.mark.golden
def test_lists_wrong_shapes(theirs):
    theirs["conv_norm.weight"] = torch.empty(5)
    theirs["fu1.W.conv.weight"] = torch.empty(96, 192, 3, 3)
    with pytest.raises(
        ValueError, match=r"conv_norm\.weight \(5,\) instead of \(768,\), fu1\.W\.conv\.weight"
    ):
        convert(theirs)


@pytest.mark.golden
def test_says_when_constants_are_not_the_published_ones(theirs):
    name = "stages2.0.RetNetRelPos2d.decay"
    theirs[name] = theirs[name] / 2
    with pytest.warns(UserWarning, match=name.replace(".", r"\.")):
        convert(theirs)
    theirs[name] = torch.empty(4)
    with pytest.raises(ValueError, match=f"another shape than published: {name}"):
        convert(theirs)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "it is empty"),
        ({"epoch": 3, "weight": torch.zeros(1)}, "not a state dict of tensors: epoch"),
        (
            {"weight": torch.zeros(1)},
            r"no hemf_base checkpoint: it has no matrix conv_head\.weight, but weight",
        ),
    ],
)
def test_refuses_what_is_no_checkpoint(state, message):
    with pytest.raises(ValueError, match=message):
        convert(state)


def test_names_the_models_it_can_convert():
    with pytest.raises(ValueError, match=r"no converter for 'resnet18': choose from .*hemf_base"):
        convert({}, "resnet18")
