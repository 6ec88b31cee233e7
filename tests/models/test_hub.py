"""Model folders: written whole, read back exactly, by hemf and by timm."""

import json

import pytest
import timm
import torch

import hemf.models  # noqa: F401  registers the models
from hemf import HemfError
from hemf.models.hub import load_model, save_model

CFG = {"input_size": [1, 64, 96], "crop_pct": 0.9, "mean": [0.4], "std": [0.2]}


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = timm.create_model("hemf_nano", num_classes=3, in_chans=1, branches="local")
    model.train()(torch.randn(2, 1, 32, 32))  # so that batch statistics are not their defaults
    return model.to(memory_format=torch.channels_last).eval()


@pytest.fixture
def folder(model, tmp_path):
    save_model(
        model,
        tmp_path / "a" / "model",
        architecture="hemf_nano",
        model_args={"in_chans": 1, "branches": "local"},
        classes=["naïve", "b", "c"],
        pretrained_cfg=CFG,
        extra={"recipe": "paper"},
    )
    return tmp_path / "a" / "model"


def test_comes_back_exactly(model, folder):
    loaded, config = load_model(folder)
    x = torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        assert torch.equal(loaded(x), model(x))
    assert not loaded.training
    assert (config["label_names"], config["recipe"]) == (["naïve", "b", "c"], "paper")
    assert loaded.pretrained_cfg["crop_pct"] == 0.9
    assert loaded.pretrained_cfg["interpolation"] == "bilinear"


def test_timm_loads_it(model, folder):
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    x = torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        assert torch.equal(loaded(x), model(x))
    data = timm.data.resolve_model_data_config(loaded)
    assert (data["input_size"], data["crop_pct"], list(data["mean"])) == ((1, 64, 96), 0.9, [0.4])


def test_timm_adapts_it_to_other_classes_and_channels(folder):
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=5, in_chans=3)
    weight = load_model(folder)[0].local_stem[0].weight
    assert loaded(torch.randn(1, 3, 32, 32)).shape == (1, 5)
    torch.testing.assert_close(loaded.local_stem[0].weight, weight.expand(-1, 3, -1, -1) / 3)


def test_leaves_only_whole_files(folder, model, monkeypatch):
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    before = (folder / "model.safetensors").read_bytes()

    def full_disk(path, data):
        with open(path, "wb") as file:
            file.write(data[:9])
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(HemfError, match=r"cannot write .*no space left"):
        save_model(
            model, folder, architecture="hemf_nano", model_args={}, classes=list("abc"), pretrained_cfg={}
        )
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == before


def test_weights_have_the_permissions_of_any_new_file(folder):
    (folder / "other").touch()
    assert (folder / "model.safetensors").stat().st_mode == (folder / "other").stat().st_mode


def test_wants_a_name_for_each_class(model, tmp_path):
    with pytest.raises(ValueError, match="2 class names for a model with 3 classes"):
        save_model(
            model, tmp_path, architecture="hemf_nano", model_args={}, classes=["a", "b"], pretrained_cfg={}
        )


def spoil_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "is not a model's folder"),
        (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "config.json").write_text("{}"), "lacks 'architecture'"),
        (lambda f: spoil_config(f, architecture="hemf_huge"), "unknown architecture, hemf_huge"),
        (lambda f: spoil_config(f, num_classes=4), "cannot load .* size mismatch"),
        (lambda f: (f / "model.safetensors").write_bytes(b"half"), "cannot load"),
        (lambda f: (f / "model.safetensors").unlink(), "cannot load"),
    ],
)
def test_says_what_is_wrong_with_a_folder_in_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
