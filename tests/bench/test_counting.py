"""Counts against thop itself, against the published code's counts, and against real training steps."""

import json
import sys
import types

import pytest
import timm
import torch
from torch import nn

import hemf.models  # noqa: F401  registers our models with timm
from hemf.bench.counting import classification_loss, count_operations, on_paper, training_step
from hemf.bench.published import MODELS

GOLDEN = {
    "conformer_base_patch16": "conformer_base_p16",
    "convnext_base": "convnext_b",
    "pervit_medium": "pervit_m",
    "focalnet_base_srf": "focalnet_b",
    "uniformer_base": "uniformer_b",
    "biformer_base": "biformer_b",
    "hemf_base": "hemf",
}
PERVIT_CROPPED_QUERIES = 48 * (18**4 - 14**2 * 18**2)
"""Multiply-adds that PerViT's published code spends on embedding distances it then crops."""


def softmax_operations(rows: int, length: int) -> int:
    return rows * (3 * length - 1)


def of_stages(per_stage):
    """Sum over the four stages of something of channels and tokens."""
    return sum(per_stage(96 * 2**i, (56 // 2**i) ** 2) for i in range(4))


def hemf_layers_of_the_published_code() -> int:
    """What thop counts of HEMF's published code beyond ours, which has the same as functions."""
    memory = of_stages(lambda C, N: 2 * softmax_operations(8 * 64, N))
    channel_attention_pools = of_stages(lambda C, N: 2 * C * (N + 1))
    previous_fusion_pools = of_stages(lambda C, N: C * N) - 96 * 56**2
    head_norm, head_pool = 4 * 768, 768 * (49 + 1)
    return memory + channel_attention_pools + previous_fusion_pools + head_norm - head_pool


def use_thop():
    """thop, which asks for a module that Python 3.12 has dropped."""
    if "distutils.version" not in sys.modules:
        try:
            import distutils.version  # noqa: F401
        except ImportError:
            module = types.ModuleType("distutils.version")
            module.LooseVersion = lambda version: tuple(map(int, version.split("+")[0].split(".")[:2]))
            sys.modules["distutils.version"] = module
    return pytest.importorskip("thop")


def counted(name, **model_args):
    with on_paper(lambda: timm.create_model(name, num_classes=7, **model_args)) as model:
        return count_operations(model, torch.zeros(1, 3, 224, 224))


@pytest.fixture(scope="session")
def operations():
    """Counts of a model at 224 x 224 with 7 classes, each model once."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = counted(name)
        return known[name]

    return of


@pytest.mark.golden
@pytest.mark.parametrize("name", MODELS)
def test_counts_are_those_of_the_published_code(name, operations, golden):
    """torch's count to the digit; thop's as far as layers are modules there and functions here."""
    expected = json.loads((golden / "complexity.json").read_text())[GOLDEN.get(name, name)]["num_classes_7"]
    cropped = PERVIT_CROPPED_QUERIES if name == "pervit_medium" else 0
    torch_count = operations(name).torch + cropped
    assert torch_count / 1e9 == pytest.approx(expected["torch_flop_counter_half_G"], abs=6e-7)
    assert operations(name).thop / 1e9 == pytest.approx(expected["thop_flops_G"], rel=6e-3)
    assert operations(name).thop_params / 1e6 == pytest.approx(expected["thop_params_M"], rel=2e-3)


@pytest.mark.golden
def test_what_thop_counts_of_hemfs_published_code_beyond_ours_is_known(operations, golden):
    expected = json.loads((golden / "complexity.json").read_text())["hemf"]["num_classes_7"]["thop_flops_G"]
    ours = operations("hemf_base").thop + hemf_layers_of_the_published_code()
    assert ours / 1e9 == pytest.approx(expected, abs=6e-7)


@pytest.mark.golden
def test_pervit_with_cached_weights_counts_as_published(golden):
    expected = json.loads((golden / "complexity.json").read_text())["pervit_m"]["num_classes_7"]
    with on_paper(lambda: timm.create_model("pervit_medium", num_classes=7)) as model:
        model.eval().cache_position_weights((224, 224))
        cached = count_operations(model, torch.zeros(1, 3, 224, 224))
    expected = expected["with_cached_position_weights"]
    assert cached.torch / 1e9 == pytest.approx(expected["torch_flop_counter_half_G"], abs=6e-7)
    head_pool = 684 * (14**2 + 1)
    assert (cached.thop - head_pool) / 1e9 == pytest.approx(expected["thop_flops_G"], abs=6e-7)
    assert cached.thop_params / 1e6 == pytest.approx(expected["thop_params_M"], abs=6e-7)


class Layers(nn.Module):
    """One of each kind of layer that is counted, and some that are not."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1),
            nn.BatchNorm2d(8),
            nn.PReLU(),
            nn.Conv2d(8, 16, 3, padding=1, groups=4),
            nn.GroupNorm(4, 16),
            nn.InstanceNorm2d(16),
            nn.AvgPool2d(2),
            nn.ConvTranspose2d(16, 8, 2, stride=2),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.LayerNorm(32, elementwise_affine=False),
            nn.Linear(32, 32),
            nn.Linear(32, 5),
            nn.Softmax(dim=-1),
        )

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize(
    "build", [Layers, lambda: timm.create_model("hemf_nano"), lambda: timm.create_model("test_resnet")]
)
def test_the_layer_count_is_thops(build):
    thop = use_thop()
    model, images = build().eval(), torch.zeros(1, 3, 64, 64)
    ours = count_operations(model, images)
    operations, params = thop.profile(model, (images,), verbose=False)
    assert (ours.thop, ours.thop_params) == (operations, params)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_layer_count_of_every_model_is_thops(name, operations):
    thop = use_thop()
    model = timm.create_model(name, num_classes=7)
    counted_by_thop, params = thop.profile(model, (torch.zeros(1, 3, 224, 224),), verbose=False)
    assert (operations(name).thop, operations(name).thop_params) == (counted_by_thop, params)


def test_a_layer_counts_each_time_it_runs_and_leaves_no_hook():
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, layer, nn.Linear(4, 2))
    ours = count_operations(model, torch.zeros(3, 4))
    assert ours == (3 * (16 + 16 + 8), 3 * (16 + 16 + 8), 20 + 10)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(("name", "size"), [("hemf_nano", 64), ("test_resnet", 32)])
def test_a_step_on_paper_saves_what_a_real_one_saves(name, size):
    """To the byte in fp32; in bf16 a CPU's kernels save a little else in truth."""
    real = timm.create_model(name)
    exact, mixed = (training_step(real, torch.rand(4, 3, size, size), how) for how in ("fp32", "bf16"))
    with on_paper(lambda: timm.create_model(name)) as model:
        assert training_step(model, torch.zeros(4, 3, size, size)) == exact
        on_paper_mixed = training_step(model, torch.zeros(4, 3, size, size), "bf16")
    assert on_paper_mixed.saved_bytes == pytest.approx(mixed.saved_bytes, rel=0.02)


def test_saved_bytes_are_those_that_can_be_counted_by_hand():
    """Two linear layers save their inputs, the sigmoid its output, which the second layer's input is."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 10), nn.Sigmoid(), nn.Linear(10, 3))
    step = training_step(model, torch.rand(2, 3, 4, 4))
    images, hidden = 2 * 48 * 4, 2 * 10 * 4
    log_probabilities, labels, total_weight = 2 * 3 * 4, 2 * 8, 4
    assert step.saved_bytes == images + hidden + log_probabilities + labels + total_weight


def test_parameters_without_a_gradient_are_told_apart():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(12, 3), nn.Linear(12, 3)

        def forward(self, x):
            return self.used(x.flatten(1))

    model = Idle()
    model.used.bias.requires_grad_(False)
    assert training_step(model, torch.rand(2, 3, 2, 2)).params_with_grad == 36
    assert all(parameter.grad is None for parameter in model.parameters())


def test_two_heads_are_trained_by_the_mean_of_their_losses():
    class Heads(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3], x.flatten(1)[:, 3:6]

    images = torch.rand(2, 3, 2, 2)
    labels = torch.zeros(2, dtype=torch.long)
    apart = [nn.functional.cross_entropy(logits, labels) for logits in Heads()(images)]
    assert torch.allclose(classification_loss(Heads(), images, "fp32"), sum(apart) / 2)
