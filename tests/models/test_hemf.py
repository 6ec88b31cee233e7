"""HEMF: the published numbers, any size, the ablation, the selection, autocast, and what is its own."""

import pytest
import timm
import torch
import torch.nn.functional as F
from zoo import Probe, authors_checkpoint, error, golden_numbers, rule

import hemf.models  # noqa: F401  registers the models
from hemf.models.blocks import HEFFusion, ManhattanSelfAttention
from hemf.models.convert import _LAYOUTS, convert

SIZES = ("hemf_base", "hemf_small", "hemf_tiny", "hemf_nano")


def nano(**kwargs):
    torch.manual_seed(0)
    return timm.create_model("hemf_nano", num_classes=5, **kwargs).eval()


def gradients_missing(model):
    """Names of the parameters that a training step leaves without a gradient."""
    model.train()(torch.randn(2, 3, 64, 64)).square().sum().backward()
    return [name for name, p in model.named_parameters() if p.grad is None]


@pytest.fixture(scope="module")
def published(golden):
    """The published model, with the weights of the golden numbers."""
    model = timm.create_model("hemf_base", num_classes=7)
    with pytest.warns(UserWarning, match="constant buffers differ"):  # the rule fills them like weights
        model.load_state_dict(convert(authors_checkpoint(golden, "hemf")))
    return model.eval()


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_reproduces_the_published_numbers(golden, published, dtype, tolerance):
    numbers, model = golden_numbers(golden, "hemf"), published.to(dtype)
    probe = Probe()
    for number, stage in enumerate(model.stages, start=1):
        probe.watch(f"local_stage{number}", stage.local_blocks)
        probe.watch(f"global_stage{number}", stage.global_blocks)
        probe.watch(f"fusion_stage{number}", stage.fusion)
    with torch.inference_mode():
        logits = model(rule(golden).make_input("input").to(dtype))
    errors = probe.errors(numbers["features"])
    assert error(logits, numbers["logits"]) <= tolerance
    assert len(errors) == 12
    assert max(errors.values()) <= tolerance


@pytest.mark.golden
@pytest.mark.slow
def test_reproduces_the_published_loss_and_gradients(golden, published):
    wanted, model = golden_numbers(golden, "hemf")["train"], published.double().train()
    images = rule(golden).make_input("train", (4, 3, 224, 224)).double()
    loss = F.cross_entropy(model(images), torch.tensor(wanted["labels"]))
    loss.backward()
    assert loss.item() == pytest.approx(wanted["loss"], rel=1e-9)
    authors_name = _LAYOUTS["hemf_base"]().authors_name
    norms = {authors_name(name): p.grad.norm().item() for name, p in model.named_parameters()}
    # A bias before a batch norm has no effect: its gradient is rounding noise of 1e-16.
    assert norms == pytest.approx(wanted["grad_norm"], rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(
    ("name", "parameters"),
    list(zip(SIZES, (66_678_263, 29_710_423, 7_499_959, 1_922_983), strict=True)),
)
def test_has_the_stated_parameters(name, parameters):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=7)
    assert sum(p.numel() for p in model.parameters()) == parameters


ABLATION = {  # Table 10, row by row
    "ELF": {"branches": "local"},
    "EGF": {"branches": "global"},
    "ELF + EGF": {"external_attention": False, "conv_attention": False, "sirmlp": False},
    "+ MHEA": {"conv_attention": False, "sirmlp": False},
    "+ CA & SA": {"external_attention": False, "sirmlp": False},
    "+ MHEA + CA & SA": {"sirmlp": False},
    "all with SIRMLP": {},
}


@pytest.mark.parametrize("row", ABLATION)
def test_ablation_rows_use_every_parameter_they_have(row):
    model = nano(**ABLATION[row])
    assert gradients_missing(model) == []
    modules = list(model.modules())
    assert any(isinstance(m, ManhattanSelfAttention) for m in modules) == (row != "ELF")
    assert any(isinstance(m, HEFFusion) for m in modules) == (row not in ("ELF", "EGF"))


def test_ablation_rows_differ_in_parameters():
    counts = [sum(p.numel() for p in nano(**switches).parameters()) for switches in ABLATION.values()]
    assert len(set(counts)) == 7
    assert max(counts) == counts[-1]


def test_refuses_unknown_branches():
    with pytest.raises(ValueError, match="'both', 'local' or 'global', not 'none'"):
        nano(branches="none")


@pytest.mark.parametrize(("selection", "more"), [("static", 15_748), ("dynamic", 17_796)])
def test_a_selection_adds_to_the_network_and_takes_nothing_from_it(selection, more):
    plain, selecting = nano().state_dict(), nano(selection=selection).state_dict()
    added = {name: value for name, value in selecting.items() if name not in plain}
    assert plain.keys() <= selecting.keys()
    assert all(name.startswith("selection.") for name in added)
    assert sum(value.numel() for value in added.values()) == more
    assert list(nano(selection="last").state_dict()) == list(plain)


@pytest.mark.parametrize("branches", ["both", "local", "global"])
def test_a_selecting_network_classifies_what_it_selects(branches):
    model, x = nano(selection="dynamic", branches=branches), torch.randn(2, 3, 64, 96)
    torch.nn.init.normal_(model.selection.gate.weight)
    with torch.no_grad():
        maps = model.forward_intermediates(x, intermediates_only=True)
        torch.testing.assert_close(model(x), model.forward_head(model.selection(maps)))
        model.selection.prior.copy_(torch.tensor([-99.0, 99.0, -99.0, -99.0]))
        model.selection.gate.weight.zero_()
        second = model.selection.align(maps)[1]
        torch.testing.assert_close(model(x), model.forward_head(second))
        early, (first,) = model.forward_intermediates(x, indices=[0], stop_early=True)
        assert early is first
        assert torch.equal(model.forward_intermediates(x, indices=[0])[0], model.forward_features(x))


def test_refuses_an_unknown_selection():
    with pytest.raises(ValueError, match="'last', 'static' or 'dynamic', not 'best'"):
        nano(selection="best")


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (160, 32)])
@pytest.mark.parametrize("batch", [1, 3])
def test_takes_any_size_divisible_by_32(height, width, batch):
    with torch.inference_mode():
        model, x = nano(), torch.randn(batch, 3, height, width)
        assert model.forward_features(x).shape == (batch, 128, height // 32, width // 32)
        assert model(x).shape == (batch, 5)


def test_maps_lie_channels_last_throughout():
    """All but the pairs of planes of the spatial attention, which have no channels to speak of."""
    model, seen = nano(), []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.BatchNorm2d | timm.layers.LayerNorm2d):
            module.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    with torch.inference_mode():
        model.forward_features(torch.randn(2, 3, 64, 96))
    maps = [x for x in seen if x.shape[1] > 2]
    assert len(maps) > 50
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in maps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_agrees_with_float32(dtype):
    model, x = nano(), torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        expected = model(x)
        with torch.autocast("cpu", dtype):
            found = model(x).float()
    assert (found - expected).abs().max() <= 0.05 * expected.abs().max()


def test_trains_under_autocast():
    model = nano().train()
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(2, 3, 64, 64)).float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_runs_cast_to_bfloat16():
    model, x = nano(), torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = model(x)
        found = model.bfloat16()(x.bfloat16()).float()
    assert (found - expected).abs().max() <= 0.1 * expected.abs().max()


def shallow():
    return nano(local_depths=(1, 1, 1, 1), global_depths=(1, 1, 1, 1))


@pytest.mark.slow
def test_compiles_as_one_graph():
    model, x = shallow(), torch.randn(2, 3, 64, 96)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), model(x))
    compiled.train()(x).sum().backward()


def test_drop_path_drops_in_training_alone():
    model, x = nano(drop_path_rate=0.5), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(x), nano()(x))
        rates = {m.drop_prob for m in model.modules() if isinstance(m, timm.layers.DropPath)}
        features = model.train().stages[3].local_blocks
        assert not torch.equal(features(x4 := torch.randn(8, 128, 2, 2)), features(x4))
    assert max(rates) == 0.5


def test_initial_weights_follow_the_published_code():
    torch.manual_seed(0)
    model = timm.create_model("hemf_tiny")
    stage = model.stages[3]
    std = {
        stage.local_blocks[0].conv.weight: 0.2,
        stage.local_downsample[1].weight: 0.2,
        stage.local_blocks[0].pwconv.weight: 0.02,
        stage.global_blocks.linears[0].weight: 0.02,
        stage.global_blocks.attentions[0].q_proj.weight: 2**-2.5 * (1 / 256) ** 0.5,
        stage.global_blocks.attentions[0].out_proj.weight: (1 / 256) ** 0.5,
        stage.fusion.local_attention.external.memory_key.weight: 0.001,
        stage.fusion.mlp.conv.weight: (1 / (3 * 256 * 9)) ** 0.5,
        model.head.fc.weight: 0.02,
    }
    for weight, expected in std.items():
        assert weight.std().item() == pytest.approx(expected, rel=0.1)
    assert stage.local_blocks[0].conv.bias.abs().max() == 0


@pytest.mark.parametrize("name", SIZES)
def test_has_a_whole_timm_configuration(name):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=3, in_chans=1)
    cfg = model.pretrained_cfg
    assert (cfg["input_size"], cfg["crop_pct"], cfg["interpolation"]) == ((3, 224, 224), 0.875, "bilinear")
    assert cfg["mean"] == cfg["std"] == (0.5, 0.5, 0.5)
    modules = dict(model.named_modules())
    assert all(modules[stem].in_channels == 1 for stem in cfg["first_conv"])
    assert modules[cfg["classifier"]] is model.get_classifier()
    assert model.get_classifier().out_features == model.num_classes == 3
    attention = next(m for m in model.modules() if isinstance(m, ManhattanSelfAttention))
    assert attention.q_proj.out_features // attention.num_heads in (8, 12)


@pytest.mark.parametrize("branches", ["both", "local", "global"])
def test_features_only_gives_maps_as_described(branches):
    model = timm.create_model("hemf_nano", features_only=True, out_indices=(0, 2), branches=branches)
    maps = model(torch.randn(2, 3, 64, 96))
    assert [m.shape[1] for m in maps] == model.feature_info.channels() == [16, 64]
    assert [64 // m.shape[2] for m in maps] == model.feature_info.reduction() == [4, 16]
    sum(m.square().sum() for m in maps).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
