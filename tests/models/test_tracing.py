"""Symbolic tracing by torch.fx and TorchScript: how timm's users take networks apart and ship them."""

import subprocess
import sys

import pytest
import timm
import torch
from timm.models import get_notrace_functions, get_notrace_modules
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from hemf.models import fuse

ONES = (1, 1, 1, 1)
HEMF = {"dims": (16, 32, 64, 128), "num_heads": 2, "local_depths": ONES, "global_depths": ONES}
HIFUSE = {"dims": (24, 48, 96, 192), "local_depths": ONES, "global_depths": ONES}
SMALL = {
    "hemf_base": HEMF,
    "hemf_small": {**HEMF, "branches": "local"},
    "hemf_tiny": {**HEMF, "branches": "global", "selection": "static"},
    "hemf_nano": {
        **HEMF,
        "drop_path_rate": 0.1,
        "sirmlp": False,
        "global_depths": (2, 1, 1, 1),
        "selection": "dynamic",
    },
    "came": {**HIFUSE, "global_depths": (2, 1, 1, 1)},
    "uniformer_base": {"depths": ONES},
    "biformer_base": {"depths": ONES},
    "hifuse_tiny": {**HIFUSE, "depthwise": True},
    "hifuse_small": HIFUSE,
    "hifuse_base": {**HIFUSE, "global_depths": (2, 1, 1, 1)},
    "pervit_medium": {"dims": (24, 24, 24, 24), "depths": ONES},
    "conformer_base_patch16": {"dims": (16, 32, 64), "depths": (2, 1, 2), "embed_dim": 24, "num_heads": 3},
}
"""Every registered name, small enough to be compiled in seconds."""

pytestmark = pytest.mark.filterwarnings(
    "ignore:NOTE. The nodes obtained by tracing", "ignore:.*torch.jit.*is deprecated", "ignore:.*TorchScript"
)


@pytest.fixture(autouse=True)
def _plain_executor():
    """Do not optimise scripts while they run, which takes longer than everything else here."""
    profiling = torch._C._jit_set_profiling_mode(False)
    with torch.jit.optimized_execution(False):
        yield
    torch._C._jit_set_profiling_mode(profiling)


def small(name: str, **arguments) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3, **{**SMALL[name], **arguments}).eval()


def images(height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def traced(model: nn.Module) -> tuple[nn.Module, str]:
    """What fx makes of a model, and the name of its last step in evaluation."""
    kept = {"leaf_modules": get_notrace_modules(), "autowrap_functions": get_notrace_functions()}
    last_in_training, last = (nodes[-1] for nodes in get_graph_node_names(model, tracer_kwargs=kept))
    nodes = {"train_return_nodes": [last_in_training], "eval_return_nodes": [last]}
    return create_feature_extractor(model, **nodes, tracer_kwargs=kept).eval(), last


def test_every_network_is_here():
    import hemf.models

    ours = {name for name in timm.list_models() if timm.model_entrypoint(name).__module__.startswith("hemf.")}
    assert hemf.models
    assert ours == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_is_traced_and_gives_the_same(name):
    model = small(name)
    graph, last = traced(model)
    with torch.inference_mode():
        assert torch.equal(graph(images())[last], model(images()))


@pytest.mark.parametrize("name", SMALL)
def test_a_script_gives_what_its_network_gives(name):
    model = small(name)
    script = torch.jit.script(model)
    with torch.no_grad():
        torch.testing.assert_close(script(images()), model(images()), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(script(images(64, 64)), model(images(64, 64)), rtol=1e-4, atol=1e-5)


def test_a_traced_network_is_scripted():
    graph, last = traced(small("pervit_medium"))
    script = torch.jit.script(graph)
    with torch.no_grad():
        torch.testing.assert_close(script(images())[last], graph(images())[last])


def test_a_script_learns_as_its_network_does():
    model = small("hemf_base", dims=(8, 16, 32, 64)).train()
    script = torch.jit.script(small("hemf_base", dims=(8, 16, 32, 64)).train())
    for one in (model, script):
        one(images()).square().sum().backward()
    wanted = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, parameter in script.named_parameters():
        error = (parameter.grad - wanted[name]).norm() / wanted[name].norm().clamp(min=1e-3)
        assert error < 1e-3, name


def test_a_script_of_two_heads_gives_their_sum_in_training_too():
    script = torch.jit.script(small("conformer_base_patch16").train())
    assert script(images()).shape == (2, 3)


def test_the_inference_form_is_scripted():
    fused = fuse(small("hemf_nano"))
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(fused)(images()), fused(images()), rtol=1e-4, atol=1e-5)


def test_cached_position_weights_go_into_a_script():
    model = small("pervit_medium")
    model.cache_position_weights((64, 64))
    script = torch.jit.script(model)
    with torch.no_grad():
        for size in ((64, 64), (64, 96)):
            torch.testing.assert_close(script(images(*size)), model(images(*size)))


def test_a_saved_script_runs_without_hemf(tmp_path):
    model = small("hemf_tiny")
    torch.jit.script(model).save(tmp_path / "hemf.pt")
    with torch.no_grad():
        torch.save((images(), model(images())), tmp_path / "expected.pt")
    code = (
        "import sys, torch; images, logits = torch.load('expected.pt'); script = torch.jit.load('hemf.pt')\n"
        "torch.testing.assert_close(script(images), logits, rtol=1e-4, atol=1e-5)\n"
        "assert not {'hemf', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("kind", [lambda model: traced(model)[0], torch.jit.script])
@pytest.mark.parametrize(
    ("name", "size", "message"),
    [("hemf_small", (40, 64), "divisible by 32"), ("pervit_medium", (16, 64), "at least 17")],
)
def test_sizes_that_do_not_fit_are_still_refused(kind, name, size, message):
    with pytest.raises((ValueError, torch.jit.Error), match=message):
        kind(small(name))(images(*size))
