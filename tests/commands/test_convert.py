"""``hemf convert``: from the authors' file to a folder that loads."""

import json

import pytest
import torch
from safetensors.torch import save_file

from hemf.commands.convert import convert_checkpoint
from hemf.core.errors import HemfError
from hemf.models.convert import _LAYOUTS
from hemf.models.hub import load_model


@pytest.fixture(scope="module")
def theirs(golden):
    names = json.loads((golden / "hemf_keys.json").read_text())
    state = {name: torch.full(shape, 0.01) for name, shape in names.items()}
    return state | dict(_LAYOUTS["hemf_base"]().constants)


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_writes_a_model_that_loads(theirs, tmp_path, capsys, suffix):
    file, out = tmp_path / f"authors.{suffix}", tmp_path / "out"
    torch.save({"net": theirs}, file) if suffix == "pth" else save_file(theirs, file)
    convert_checkpoint(str(file), out=str(out), classes=list("abcdefg"))
    model, config = load_model(out)
    assert (config["architecture"], config["label_names"]) == ("hemf_base", list("abcdefg"))
    assert model.head.fc.weight.unique().tolist() == pytest.approx([0.01])
    told = capsys.readouterr().out
    assert "66.678 M parameters" in told
    assert "fu1.Updim.conv" in told
    with pytest.raises(HemfError, match="already holds a model"):
        convert_checkpoint(str(file), out=str(out))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no file"),
        (b"not a checkpoint", "not a checkpoint of plain tensors"),
        ([torch.zeros(1)], "holds a list, not a state dict"),
        ({"weight": torch.zeros(1)}, "it has no matrix conv_head.weight"),
        ({"model": torch.nn.Linear(1, 1)}, "not a checkpoint of plain tensors"),
    ],
)
def test_refuses_a_bad_file_in_one_line(tmp_path, content, message):
    file, out = tmp_path / "bad.pth", tmp_path / "out"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(HemfError, match=message) as caught:
        convert_checkpoint(str(file), out=str(out))
    assert "\n" not in str(caught.value)
    assert not out.exists()
