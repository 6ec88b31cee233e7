import json
import socket
import time

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

import hemf
from hemf import HemfError, RunConfig
from hemf.training.network import build_model
from hemf.weights import hub
from hemf.weights.find import find_weights
from hemf.weights.hub import network_at, offline_without_network


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


def hostile_hub(tmp_path, monkeypatch, **arguments):
    """A repository of the hub whose configuration asks for more than a network."""
    folder = tmp_path / "repository"
    folder.mkdir()
    model = {"architecture": "test_resnet", "num_classes": 3, "pretrained_cfg": {}, "model_args": arguments}
    (folder / "config.json").write_text(json.dumps(model))
    linked = tmp_path / "snapshot" / "config.json"  # as in the hub's cache
    linked.parent.mkdir()
    linked.symlink_to(folder / "config.json")
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_, **__: str(linked))
    return folder


@pytest.mark.parametrize("argument", ["cache_dir", "checkpoint_path", "pretrained_cfg_overlay"])
def test_a_repository_gives_a_network_s_own_arguments_alone(no_network, tmp_path, monkeypatch, argument):
    folder = hostile_hub(tmp_path, monkeypatch, **{argument: str(tmp_path / "anywhere")})
    (folder / "model.safetensors").touch()
    for place in ("hf-hub:stranger/model", f"local-dir:{folder}"):
        with pytest.raises(HemfError, match=f"'{argument}' is no argument of the network test_resnet"):
            network_at(place)
    with pytest.raises(HemfError, match=f"'{argument}' is no argument of the network test_resnet"):
        find_weights("hf-hub:stranger/model")
    assert not (tmp_path / "anywhere").exists()


def test_a_network_at_a_place_is_trained_under_its_own_name(colours, tmp_path):
    first = hemf.train(
        **{"data": str(colours), "recipe": "paper", "out": str(tmp_path), "name": "first", "epochs": 1},
        **{"model": "test_resnet", "model_args": {"channels": [8, 8, 8, 8]}, "image_size": 32, "workers": 0},
    )
    again = hemf.train(
        **{"data": str(colours), "recipe": "paper", "out": str(tmp_path), "name": "again", "epochs": 1},
        **{"model": f"local-dir:{first.path / 'model'}", "pretrained": True, "lr": 1e-12, "workers": 0},
    )
    config = RunConfig.load(again.path / "config.yaml")
    assert (config.model, config.model_args["channels"], config.image_size) == ("test_resnet", [8] * 4, 32)
    ours, theirs = (load_file(run.path / "model" / "model.safetensors") for run in (again, first))
    assert ours.keys() == theirs.keys()
    trained = [name for name in ours if "running" not in name and "num_batches" not in name]
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in trained)
