"""The paper's transforms to the letter, timm's evaluation, and augmentation that keeps its promises."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision import transforms as v1
from torchvision.transforms import InterpolationMode

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.data.image.read import find_images, read_image
from hemf.data.preprocessing import InputSpec
from hemf.data.tensor_transforms import as_pixels
from hemf.data.transforms import eval_transform, mixup_cutmix, normaliser, train_transform


def picture(width: int = 90, height: int = 60, channels: int = 3, seed: int = 0) -> Image.Image:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def trained(config: RunConfig, image: Image.Image) -> torch.Tensor:
    """What training makes of an image, as floats."""
    return normaliser(InputSpec.from_config(config))(train_transform(config)(as_pixels(image)))


def drawn(config: RunConfig, image: Image.Image, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return trained(config, image)


def same(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Equal but for float rounding, a ten-thousandth of one level of 255."""
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() < 1e-6)


def plain(**options) -> RunConfig:
    """Options without any augmentation but ``options``, on small images."""
    return RunConfig.of(**{"image_size": 32, "crop_scale": [1, 1], "hflip": 0.0} | options)


def test_the_papers_evaluation_is_resize_256_and_central_crop_224():
    ours = eval_transform(InputSpec.from_config(RunConfig.of("paper")))
    theirs = v1.Compose(
        [v1.Resize(256), v1.CenterCrop(224), v1.ToTensor(), v1.Normalize([0.5] * 3, [0.5] * 3)]
    )
    for size in ((600, 450), (200, 150), (100, 300), (224, 224)):
        image = picture(*size)
        assert same(ours(image), theirs(image))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_papers_training_is_random_resized_crop_and_flip(interpolation):
    """Box and flip are torchvision's; the pixels are PIL's but for a level or two of 255."""
    config = RunConfig.of("paper", interpolation=interpolation)
    theirs = v1.Compose(
        [
            v1.RandomResizedCrop(224, interpolation=InterpolationMode(interpolation)),
            v1.RandomHorizontalFlip(),
            v1.ToTensor(),
            v1.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    for seed in range(5):
        image = picture(300, 200, seed=seed)
        ours = drawn(config, image, seed)
        torch.manual_seed(seed)
        levels = (ours - theirs(image)).abs() * 255 / 2
        assert levels.max() < 2.001  # each of the two directions rounds
        assert levels.mean() < 0.1  # noise is the worst case


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(5, 200), st.integers(5, 200)),
    target=st.tuples(st.sampled_from([32, 64, 96]), st.sampled_from([32, 64, 96])),
    crop_pct=st.sampled_from([0.5, 0.875, 0.9, 0.95, 1.0]),
    crop_mode=st.sampled_from(["center", "border", "squash"]),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    channels=st.sampled_from([1, 3]),
)
def test_evaluation_agrees_with_timms_from_the_same_pretrained_cfg(
    size, target, crop_pct, crop_mode, interpolation, channels
):
    spec = InputSpec(
        (channels, *target),
        crop_pct,
        crop_mode,
        interpolation,
        (0.4, 0.5, 0.6)[:channels],
        (0.2, 0.3, 0.25)[:channels],
    )
    cfg = spec.to_pretrained_cfg()
    theirs = create_transform(**resolve_data_config(pretrained_cfg=cfg), is_training=False)
    image = picture(*size, channels)
    ours = eval_transform(spec)(image)
    assert ours.shape == (channels, *target)
    assert same(ours, theirs(image))


def test_the_input_survives_json_as_part_of_a_models_config():
    spec = InputSpec.from_config(
        RunConfig.of(image_size=[96, 64], in_chans=1, crop_mode="squash", mean=[0.2, 0.4, 0.6])
    )
    assert spec.input_size == (1, 96, 64)
    assert spec.mean == pytest.approx((0.4,))
    assert InputSpec.from_pretrained_cfg(json.loads(json.dumps(spec.to_pretrained_cfg()))) == spec
    assert spec.image_mode == "L"


def test_timms_defaults_fill_what_a_config_leaves_out():
    spec = InputSpec.from_pretrained_cfg({"input_size": (3, 240, 240), "architecture": "anything"})
    assert spec.input_size == (3, 240, 240)
    assert (spec.crop_pct, spec.crop_mode, spec.interpolation) == (0.875, "center", "bicubic")
    assert spec.mean == (0.485, 0.456, 0.406)
    assert InputSpec.from_pretrained_cfg({}).input_size == (3, 224, 224)


def test_one_value_serves_all_channels():
    assert InputSpec.from_config(RunConfig.of(mean=[0.1], std=[0.2])).mean == (0.1, 0.1, 0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crop_pct": 0}, "--crop-pct"),
        ({"crop_pct": 1.5}, "--crop-pct"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"std": [0.5, 0.0, 0.5]}, "std"),
        ({"image_size": 0}, "--image-size"),
        ({"hflip": 1.5}, "--hflip"),
        ({"rotate": -5}, "--rotate"),
        ({"color_jitter": 2}, "--color-jitter"),
        ({"crop_scale": [0.9, 0.1]}, "--crop-scale"),
        ({"crop_scale": [0.0, 1.0]}, "--crop-scale"),
        ({"random_erasing": -0.1}, "--random-erasing"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(change, words):
    with pytest.raises(HemfError, match=words) as raised:
        train_transform(RunConfig.of(**change))
    assert "\n" not in str(raised.value)


def test_without_augmentation_training_sees_what_validation_sees():
    for mode in ("center", "border", "squash"):
        config, image = plain(crop_mode=mode), picture()
        assert torch.equal(trained(config, image), eval_transform(InputSpec.from_config(config))(image))


def test_flips():
    image = picture(40, 40)
    still = trained(plain(), image)
    assert torch.equal(trained(plain(hflip=1.0), image), still.flip(-1))
    assert torch.equal(trained(plain(vflip=1.0), image), still.flip(-2))


def test_random_crops_stay_within_their_scale_and_ratio():
    ramp = Image.fromarray(np.stack([np.tile(np.arange(200, dtype=np.uint8), (200, 1))] * 3, -1))
    crop = plain(crop_scale=[0.25, 0.25], crop_ratio=[1, 1], mean=[0.0] * 3, std=[1.0] * 3)
    for seed in range(20):
        columns = drawn(crop, ramp, seed)[0, 0] * 255
        assert columns.max() - columns.min() == pytest.approx(100 * 31 / 32, abs=3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "change",
    [
        {"rotate": 30},
        {"color_jitter": 0.4},
        {"auto_augment": "randaugment"},
        {"auto_augment": "trivialaugment"},
        {"random_erasing": 1.0},
        {"crop_scale": [0.3, 0.9]},
    ],
)
def test_every_augmentation_changes_the_image_by_torchs_generator_alone(change, channels):
    config, image = plain(in_chans=channels, **change), picture(50, 40, channels)
    first, again = drawn(config, image, 1), drawn(config, image, 1)
    assert first.shape == (channels, 32, 32)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    still = trained(plain(in_chans=channels), image)
    assert any(not torch.equal(drawn(config, image, seed), still) for seed in range(5))


def test_erased_and_uncovered_pixels_have_the_mean():
    bright = Image.fromarray(np.full((40, 40, 3), 255, np.uint8))
    erased = drawn(plain(random_erasing=1.0), bright)
    assert erased.unique().tolist() == pytest.approx([0.0, 1.0], abs=0.501 / 127.5)  # to half a level
    corner = max(abs(drawn(plain(rotate=45), bright, seed)[:, 0, 0]).mean() < 0.01 for seed in range(9))
    assert corner


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.5, 0.0), (0.0, 1.0), (0.5, 1.0)])
def test_mixed_labels_are_the_shares_of_the_classes(mixup, cutmix):
    mix = mixup_cutmix(RunConfig.of(mixup=mixup, cutmix=cutmix), 4)
    labels = torch.arange(4)
    images = labels.float().view(4, 1, 1, 1).expand(4, 3, 16, 16).clone()
    torch.manual_seed(0)
    for _ in range(8):
        mixed, shares = mix(images, labels)
        assert shares.shape == (4, 4)
        assert torch.allclose(shares.sum(1), torch.ones(4))
        assert torch.allclose(mixed.mean((1, 2, 3)), shares @ torch.arange(4.0), atol=1e-5)


def test_no_mixing_by_default():
    assert mixup_cutmix(RunConfig.of("paper"), 7) is None
    with pytest.raises(HemfError, match="mixup"):
        mixup_cutmix(RunConfig.of(mixup=-0.1), 7)


@pytest.mark.real
def test_real_images_as_timm_sees_them(real_data):
    spec = InputSpec.from_config(RunConfig.of("paper"))
    theirs = create_transform(**resolve_data_config(pretrained_cfg=spec.to_pretrained_cfg()))
    for path in find_images(real_data / "covid-ct" / "Images-processed")[::75]:
        image = read_image(path)
        assert same(eval_transform(spec)(image), theirs(image))
