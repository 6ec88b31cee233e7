"""The default layer of every architecture that timm trains, and layers that a class no longer depends on."""

import pytest
import timm
import torch
from torch import Tensor, nn

from hemf.core.errors import HemfError
from hemf.explanation.evidence import evidence_at
from hemf.explanation.gradcam import heat_maps, layer_heat_maps, stage_heat_maps
from hemf.explanation.layers import default_layer, stage_layers

CASES = {
    # heads that read a class token, maps of two scales, layers that feature_info names and that are none
    "vision_transformer": ("test_vit", {"img_size": 64}, "blocks.5.norm1"),
    "tnt": ("tnt_s_patch16_224", {"img_size": 64, "depth": 2}, "blocks.1.norm_out"),
    "cait": ("cait_xxs24_224", {"img_size": 64, "depth": 2}, "blocks.1"),
    "pit": ("pit_ti_224", {"img_size": 64, "depth": (1, 1, 1)}, "transformers.2.blocks.0.norm1"),
    "coat": (
        "coat_tiny",
        {"img_size": 64, "serial_depths": (1,) * 4, "parallel_depth": 1},
        "parallel_blocks.0.norm14",
    ),
    "crossvit": ("crossvit_tiny_240", {"depth": ((1, 1, 0),)}, "blocks.0.fusion.1.norm1"),
    "twins": ("twins_svt_small", {"depths": (1,) * 4, "embed_dims": (16, 32, 64, 64)}, "norm"),
    "xcit": ("xcit_nano_12_p8_224", {"depth": 2}, "blocks.1"),
    "naflexvit": ("naflexvit_base_patch16_gap", {"depth": 2, "embed_dim": 48, "num_heads": 3}, "blocks.1"),
    "vision_transformer_relpos": ("test_vit_relpos", {"img_size": 64}, "blocks.8"),
    "resnet": ("test_resnet", {}, "layer4"),
    "efficientnet": ("test_efficientnet", {}, "blocks.4"),
    "mambaout": ("test_mambaout", {}, "stages.3"),
}
"""A dozen small ones: model, arguments, and the layer to be found."""


def made(name: str, **arguments: object) -> nn.Module:
    """A model of random weights and two classes: what speaks against one speaks for the other."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=2, **arguments).eval()
    heads = [m for m in model.modules() if getattr(m, "out_features", getattr(m, "out_channels", 0)) == 2]
    for head in heads:
        with torch.no_grad():
            head.weight[0] = 0.1 * torch.randn_like(head.weight[0])
            head.weight[1] = -head.weight[0]
    return model


def check(model: nn.Module, images: Tensor) -> str:
    """That the default layer has heat for one class or the other, and every stage is one of evidence."""
    layer = default_layer(model, images)
    found = evidence_at(model, images[:1], None, [layer])[layer]
    assert found.found
    both = layer_heat_maps(
        model, torch.cat([images, images]), [0] * len(images) + [1] * len(images), [layer], "gradcam"
    )
    assert both[0].shape[1:] == found.grid
    assert (both[0].reshape(2, len(images), -1).max((0, 2)) == 1).all()
    (stages,) = stage_layers(model, images).values()
    assert all(one.found for one in evidence_at(model, images[:1], None, stages).values())
    return layer


@pytest.mark.parametrize("family", CASES)
def test_the_default_layer_has_evidence(family):
    name, arguments, expected = CASES[family]
    assert check(made(name, **arguments), torch.randn(2, 3, 64, 64)) == expected


OTHERS = {
    "beit": ("beit_base_patch16_224", {"img_size": 64, "depth": 2}, 64),
    "byoanet": ("halonet_h1", {}, 256),
    "byobnet": ("mobileone_s1", {}, 64),
    "convit": ("convit_tiny", {"img_size": 64}, 64),
    "convmixer": ("convmixer_768_32", {}, 64),
    "convnext": ("convnext_atto_rms", {}, 64),
    "cpubone": ("cpubone_nano", {}, 64),
    "csatv2": ("csatv2", {}, 64),
    "cspnet": ("cs3darknet_focus_s", {}, 64),
    "cspnext": ("cspnext_tiny", {}, 64),
    "davit": ("davit_tiny", {}, 64),
    "deepseek_vit": ("deepseek_vit_412m", {"depth": 1}, 56),
    "deit": ("deit_tiny_distilled_patch16_224", {"img_size": 64, "depth": 2}, 64),
    "densenet": ("densenet121", {}, 64),
    "dla": ("dla46x_c", {}, 64),
    "dpn": ("dpn48b", {}, 64),
    "edgenext": ("edgenext_xx_small", {}, 64),
    "efficientformer": ("efficientformer_l1", {}, 224),
    "efficientformer_v2": ("efficientformerv2_s0", {"img_size": 64}, 64),
    "efficientvim": ("efficientvim_m1", {}, 64),
    "efficientvit_mit": ("efficientvit_b0", {}, 64),
    "efficientvit_msra": ("efficientvit_m0", {}, 64),
    "eva": ("eva02_tiny_patch14_224", {"img_size": 64, "depth": 2, "global_pool": "token"}, 64),
    "fasternet": ("fasternet_t0", {}, 64),
    "fastvit": ("fastvit_t8", {}, 64),
    "focalnet": ("focalnet_tiny_srf", {}, 64),
    "gcvit": ("gcvit_xxtiny", {"img_size": 64}, 64),
    "ghostnet": ("ghostnet_050", {}, 64),
    "hardcorenas": ("hardcorenas_b", {}, 64),
    "hgnet": ("hgnetv2_b0", {}, 64),
    "hiera": ("hiera_tiny_224", {"img_size": 64}, 64),
    "hieradet_sam2": ("sam2_hiera_tiny", {}, 64),
    "hrnet": ("hrnet_w18_small", {}, 64),
    "iformer": ("iformer_t", {}, 64),
    "inception_next": ("inception_next_atto", {}, 64),
    "inception_resnet_v2": ("ens_adv_inception_resnet_v2", {}, 96),
    "inception_v3": ("adv_inception_v3", {}, 96),
    "inception_v4": ("inception_v4", {}, 96),
    "lcnetv2": ("lcnetv2_small", {}, 64),
    "levit": ("levit_128s", {"img_size": 64}, 64),
    "lowformer": ("lowformer_b0", {}, 64),
    "maxxvit": ("coatnet_pico_rw_224", {"img_size": 64}, 64),
    "metaformer": ("poolformer_s12", {}, 64),
    "mlp_mixer": ("gmlp_ti16_224", {"img_size": 64}, 64),
    "mobilenetv3": ("lcnet_035", {}, 64),
    "mobilevit": ("mobilevit_xxs", {}, 64),
    "mvitv2": ("mvitv2_tiny", {"img_size": 64}, 64),
    "nasnet": ("nasnetalarge", {}, 64),
    "nest": ("jx_nest_tiny", {"img_size": 64}, 64),
    "nextvit": ("nextvit_small", {}, 64),
    "nfnet": ("nf_regnet_b0", {}, 64),
    "pnasnet": ("pnasnet5large", {}, 64),
    "pvt_v2": ("pvt_v2_b0", {}, 64),
    "qwen3_vit": ("qwen3_vit_88m", {"img_size": 64, "depth": 2}, 64),
    "rdnet": ("rdnet_tiny", {}, 64),
    "regnet": ("regnetx_002", {}, 64),
    "repghost": ("repghostnet_050", {}, 64),
    "repvit": ("repvit_m1", {}, 64),
    "res2net": ("res2next50", {}, 64),
    "resnest": ("resnest14d", {}, 64),
    "resnetv2": ("resnetv2_18", {}, 64),
    "rexnet": ("rexnet_100", {}, 64),
    "selecsls": ("selecsls42", {}, 64),
    "senet": ("legacy_seresnet18", {}, 64),
    "sequencer": ("sequencer2d_s", {}, 64),
    "shvit": ("shvit_s1", {}, 64),
    "sknet": ("skresnet18", {}, 64),
    "starnet": ("starnet_s050", {}, 64),
    "swiftformer": ("swiftformer_xs", {}, 64),
    "swin_transformer": ("swin_tiny_patch4_window7_224", {"img_size": 64}, 64),
    "swin_transformer_v2": ("swinv2_tiny_window16_256", {"img_size": 64}, 64),
    "swin_transformer_v2_cr": ("swinv2_cr_tiny_224", {"img_size": 64}, 64),
    "tiny_vit": ("tiny_vit_5m_224", {}, 64),
    "tresnet": ("tresnet_m", {}, 64),
    "vgg": ("vgg11", {}, 64),
    "visformer": ("visformer_tiny", {"img_size": 64}, 64),
    "vision_transformer_hybrid": ("vit_tiny_r_s16_p8_224", {"img_size": 64}, 64),
    "vision_transformer_sam": (
        "samvit_base_patch16_224",
        {"img_size": 64, "depth": 2, "global_attn_indexes": (1,)},
        64,
    ),
    "vitamin": ("vitamin_small_224", {"img_size": 64}, 64),
    "volo": ("volo_d1_224", {"img_size": 64}, 64),
    "vovnet": ("ese_vovnet19b_slim_dw", {}, 64),
    "xception": ("legacy_xception", {}, 64),
    "xception_aligned": ("xception41p", {}, 64),
}
"""Of every other family a small model: its name, arguments, and the size of the images."""
ENCODERS = {"gemma4_vit", "mobilenetv5"}
"""Families of a language model's eyes, without a head for classes."""


@pytest.mark.slow
@pytest.mark.parametrize("family", OTHERS)
def test_the_default_layer_of_every_family_has_evidence(family):
    name, arguments, size = OTHERS[family]
    check(made(name, **arguments), torch.randn(2, 3, size, size))


@pytest.mark.slow
def test_no_family_of_timm_is_left_out():
    ours = {
        model.__module__.split(".")[-1]
        for model in map(timm.model_entrypoint, timm.list_models())
        if model.__module__.startswith("hemf.")
    }
    assert {*CASES, *OTHERS, *ENCODERS} | ours == set(timm.list_modules()) | ours
    assert CASES.keys().isdisjoint(OTHERS)


def test_a_layer_behind_the_class_token_is_refused_and_another_named():
    model, images = made("test_vit", img_size=64), torch.randn(2, 3, 64, 64)
    for layer in ("blocks.5", "blocks", "norm", "blocks.5.mlp", "blocks.5.norm2"):
        with pytest.raises(HemfError, match=rf"no evidence at layer {layer!r}: .* such as blocks\.5\.norm1"):
            heat_maps(model, images, layer=layer)
    assert heat_maps(model, images, [0, 1], "blocks.4", "gradcam").shape == (2, 4, 4)


def test_a_head_that_reads_nothing_leaves_maps_blank_wherever_one_looks():
    model = made("test_resnet")
    nn.init.zeros_(model.get_classifier().weight)
    for layer in (None, "layer2"):
        assert not heat_maps(model, torch.randn(1, 3, 64, 64), [1], layer).any()


def test_stages_end_at_the_default_layer_and_leave_out_what_the_class_does_not_depend_on():
    vit, images = made("test_vit", img_size=64), torch.randn(1, 3, 64, 64)
    assert stage_layers(vit, images) == {"stages": [*(f"blocks.{i}" for i in range(5)), "blocks.5.norm1"]}
    twins = made("twins_svt_small", depths=(1,) * 4, embed_dims=(16, 32, 64, 64))
    (maps,) = stage_heat_maps(twins, images, method="gradcam").values()
    assert [one.shape[1:] for one in maps] == [(16, 16), (8, 8), (4, 4), (2, 2)]


def test_a_network_that_names_no_maps_has_a_default_all_the_same():
    torch.manual_seed(0)
    parts = [
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    model, images = nn.Sequential(*parts, nn.Linear(8, 2)), torch.randn(1, 3, 32, 32)
    assert default_layer(model, images) == "2"
    with pytest.raises(HemfError, match="does not name its maps"):
        default_layer(model)
    with pytest.raises(HemfError, match="no layer of Sequential gives a map"):
        default_layer(nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)), images)
