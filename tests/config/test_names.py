"""What is told of models, losses and optimisers without importing their libraries is what these register."""

import subprocess
import sys
import time

import pytest
import timm
from timm.models import _registry
from timm.optim import list_optimizers

import hemf.models  # noqa: F401  registers the models
from hemf import HemfError, RunConfig
from hemf.config.names import (
    check_model,
    check_names,
    hemf_models,
    loss_names,
    model_names,
    optimizer_names,
)
from hemf.losses import LOSSES


def test_the_models_are_those_that_are_registered():
    own = {name for name in _registry._model_entrypoints if name.startswith(("test_own_",))}
    assert model_names() == set(_registry._model_entrypoints) - own
    assert hemf_models() == {
        name for name in model_names() if timm.model_entrypoint(name).__module__.startswith("hemf.")
    }


def test_the_optimizers_are_those_that_timm_has():
    assert set(list_optimizers()) <= optimizer_names()
    assert all("bnb" in name for name in optimizer_names() - set(list_optimizers()))  # of bitsandbytes


def test_the_losses_are_those_that_are_registered():
    assert loss_names() == set(LOSSES)
    code = "import sys; from hemf.config.names import loss_names as f; print(*f()); "
    code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(LOSSES)


@pytest.mark.parametrize(
    "name", ["hemf_base", "resnet50.a1_in1k", "deit3_base_patch16_224_in21ft1k", "hf-hub:a/b"]
)
def test_models_of_every_kind_pass(name):
    check_model(name)


def test_a_model_that_a_program_registers_passes(monkeypatch):
    @timm.models.register_model
    def test_own_network(**kwargs):
        return timm.create_model("test_vit", **kwargs)

    monkeypatch.setattr(test_own_network, "__module__", "hemf.models")
    check_model("test_own_network")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "hemf_tinny"}, "no model 'hemf_tinny'; did you mean hemf_tiny"),
        ({"model": "zzzzzz"}, "no model 'zzzzzz'; see timm.list_models()"),
        ({"loss": "hinge"}, "no loss 'hinge'; give one of asymmetric, .*cross_entropy"),
        ({"loss": "cross_entrpy"}, "no loss 'cross_entrpy'; did you mean cross_entropy"),
        ({"optimizer": "adamv"}, "no optimizer 'adamv'; did you mean .*adam"),
        ({"accelerator": "gpuu"}, "no accelerator 'gpuu'; did you mean .*gpu"),
    ],
)
def test_a_slip_of_the_pen_is_named_with_what_was_meant(options, message):
    with pytest.raises(HemfError, match=message):
        check_names(RunConfig.of(**options))


@pytest.mark.parametrize(
    "words",
    [["--model", "hemf_tinny"], ["--optimizer", "adamv"], ["--loss", "hinge"], ["--monitor", "acc"]],
)
def test_it_is_answered_before_torch_is_imported_or_an_image_read(tmp_path, words):
    (tmp_path / "a").mkdir()
    code = (
        "import sys\nfrom hemf.cli.app import main\ncode = main(sys.argv[1:])\n"
        "assert not {'torch', 'timm', 'PIL'} & set(sys.modules)\nsys.exit(code)"
    )
    start = time.perf_counter()
    command = [sys.executable, "-c", code, "train", "--data", str(tmp_path), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert time.perf_counter() - start < 6  # half a second on a quiet machine


def test_hardware_that_is_not_there_is_told_before_lightning_is_imported(tmp_path):
    code = (
        "import sys, torch\ntorch.cuda.is_available = lambda: False\nfrom hemf.cli.app import main\n"
        "code = main(sys.argv[1:])\nassert 'pytorch_lightning' not in sys.modules\nsys.exit(code)"
    )
    for words in (["--accelerator", "gpu"], ["--device", "cuda"]):
        command = [sys.executable, "-c", code, "train", "--data", str(tmp_path), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert "device here; give --device cpu" in done.stderr
