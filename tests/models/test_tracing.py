"""Symbolic tracing by torch.fx, as timm and torchvision take feature maps out of a network by name."""

import pytest
import timm
import torch
from timm.models import create_feature_extractor, get_graph_node_names

import hemf.models  # noqa: F401  registers the models

NAMES = ("hemf_nano", "came", "uniformer_base", "biformer_base", "hifuse_tiny")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing")
@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_traced_and_gives_the_same(name):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3).eval()
    last = get_graph_node_names(model)[1][-1]
    traced = create_feature_extractor(model, [last]).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(traced(images)[last], model(images))


def test_a_traced_network_still_refuses_sizes_that_do_not_fit():
    model = timm.create_model("hemf_nano", num_classes=3).eval()
    last = get_graph_node_names(model)[1][-1]
    traced = create_feature_extractor(model, [last]).eval()
    with pytest.raises(ValueError, match="divisible by 32"):
        traced(torch.randn(1, 3, 40, 64))
