"""What --init may name."""

import os
import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from hemf import HemfError
from hemf.weights import find_weights


class Trap:
    """Pickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def tensors():
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=3).state_dict()


def test_a_run_and_its_model_folder(made_run):
    of_run, of_model = find_weights(str(made_run)), find_weights(str(made_run / "model"))
    assert of_run.tensors.keys() == of_model.tensors.keys()
    assert (of_run.architecture, of_run.classes) == ("test_resnet", ("a", "b", "c"))
    assert tuple(of_run.input["input_size"]) == (3, 32, 32)


def test_bare_files_of_tensors(tensors, tmp_path):
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "b.pth")
    torch.save(
        {"state_dict": {f"model.{name}": value for name, value in tensors.items()}}, tmp_path / "c.ckpt"
    )
    for file in ("a.safetensors", "b.pth", "c.ckpt"):
        found = find_weights(str(tmp_path / file)).tensors
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], value) for name, value in tensors.items())


def test_a_checkpoint_that_would_run_something_is_refused_and_runs_nothing(tmp_path):
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"weight": Trap(tmp_path / "made")}))
    torch.save({"weight": Trap(tmp_path / "made")}, tmp_path / "trap.pt")
    for file in ("trap.pth", "trap.pt"):
        with pytest.raises(HemfError, match=f"cannot read weights from .*{file}") as error:
            find_weights(str(tmp_path / file))
        assert "\n" not in str(error.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("lite9", "no weights at lite9; did you mean lite"),
        (
            "nowhere/model.safetensors",
            "no weights at nowhere/model.safetensors; give one of lite0, lite1, lite2",
        ),
    ],
)
def test_what_is_nowhere_is_said_in_a_line(source, words):
    with pytest.raises(HemfError) as error:
        find_weights(source)
    assert str(error.value).startswith(words)


def test_a_file_that_holds_no_weights(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    for file in ("notes.txt", "empty.pth"):
        with pytest.raises(HemfError, match=file):
            find_weights(str(tmp_path / file))
