import socket
import time

import pytest
from huggingface_hub import constants

from hemf import HemfError, RunConfig
from hemf.training.module import build_model
from hemf.weights.hub import offline_without_network


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """A hub behind a port at which nobody listens, and an empty cache."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def test_without_a_network_one_line_says_how_to_give_weights(no_network, tmp_path):
    config = RunConfig.of(model="resnet18", pretrained=True)
    began = time.monotonic()
    with pytest.raises(HemfError, match="no pretrained weights for resnet18: they are not in") as caught:
        build_model(config, 2)
    assert time.monotonic() - began < 30  # the hub's own retries alone take 31 seconds
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in (str(tmp_path), "--init", "HF_HUB_OFFLINE"))


def test_a_file_of_weights_is_taken_without_a_network(no_network, tmp_path):
    import timm
    import torch
    from safetensors.torch import save_file

    weights = timm.create_model("test_resnet").state_dict()
    save_file(weights, tmp_path / "own.safetensors")
    overlay = {"pretrained_cfg_overlay": {"file": str(tmp_path / "own.safetensors")}}
    model = build_model(
        RunConfig.of(model="test_resnet", pretrained=True, model_args=overlay, image_size=32), 2
    )
    assert torch.equal(next(model.parameters()), next(iter(weights.values())))


def test_afterwards_the_hub_is_as_before(no_network):
    with offline_without_network() as offline:
        assert offline
        assert constants.HF_HUB_OFFLINE
    assert constants.HF_HUB_OFFLINE is False
