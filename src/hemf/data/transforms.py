"""From a read image to the network's input: what validation sees, and what training draws at random.

Validation resizes with PIL, which gives the pixels of the paper's code and of timm, level for level.
Training's random crops are resized by torch instead, three times as fast and within two levels of 255 of
PIL's (``benchmarks/data_path.py``): they are random anyway. Both leave uint8; ``Normalise`` makes floats.
"""

from collections.abc import Callable
from typing import Any

from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.data.preprocessing import InputSpec, centred
from hemf.data.tensor_transforms import Normalise, RandomCrop, RandomFlip, as_pixels

Transform = Callable[[Image.Image], Tensor]
PixelTransform = Callable[[Tensor], Tensor]


def eval_transform(spec: InputSpec) -> Transform:
    """Build what validation, test and prediction do: resize, crop the centre, normalise, exactly as timm.

    Args:
        spec: the input.

    Returns:
        A callable from a PIL image in ``spec.image_mode`` to a float tensor of ``spec.input_size``.
    """
    return v2.Compose([eval_pixels(spec), normaliser(spec)])


def eval_pixels(spec: InputSpec) -> Transform:
    """Return ``eval_transform`` but for its last step: to a uint8 tensor in channels-last memory."""
    return v2.Compose([*centred(spec), as_pixels])


def normaliser(spec: InputSpec) -> Normalise:
    """Return the last step, for one uint8 image or a batch of them, on any device."""
    return Normalise(spec.mean, spec.std)


def train_transform(config: RunConfig) -> PixelTransform:
    """Return what training does: random crop, flips, rotation, colours, an automatic policy, erasing.

    All random numbers are drawn from torch's global generator, which the caller seeds. Pixels that a rotation
    uncovers or that are erased take the mean, rounded to a level of 255.

    Args:
        config: its augmentation options; the paper's recipe is a random resized crop and a horizontal flip.

    Returns:
        A callable from pixels, uint8 C x H x W, to pixels of the run's input size.

    Raises:
        HemfError: an option out of its range.
    """
    spec = InputSpec.from_config(config)
    config.check()
    if tuple(config.crop_scale) == (1, 1):
        steps: list[Any] = [v2.ToPILImage(), eval_pixels(spec)]
    else:
        interpolation = InterpolationMode(spec.interpolation)
        steps = [RandomCrop(spec.input_size[1:], config.crop_scale, config.crop_ratio, interpolation)]
    if config.hflip:
        steps.append(RandomFlip(config.hflip, -1))
    if config.vflip:
        steps.append(RandomFlip(config.vflip, -2))
    if changes := _changes(config, spec):
        steps += [v2.ToPILImage(), *changes, as_pixels]
    if config.random_erasing:
        erasing = v2.RandomErasing(
            config.random_erasing,
            value=spec.fill,  # pyright: ignore[reportArgumentType]  # its text allows one for each channel
        )
        steps.append(erasing)
    return v2.Compose(steps)


def _changes(config: RunConfig, spec: InputSpec) -> list[Any]:
    """The steps that work on PIL images, whose rounding differs from that of tensors by several levels."""
    steps: list[Any] = []
    if config.rotate:
        steps.append(v2.RandomRotation(config.rotate, InterpolationMode.BILINEAR, fill=spec.fill))
    if jitter := config.color_jitter:
        steps.append(v2.ColorJitter(jitter, jitter, jitter if config.in_chans == 3 else 0))
    if config.auto_augment:
        policy = {"randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}[config.auto_augment]
        steps.append(policy(interpolation=InterpolationMode.BILINEAR, fill=spec.fill))
    return steps


def mixup_cutmix(
    config: RunConfig, num_classes: int
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Return MixUp, CutMix, or one of the two drawn for each batch; ``None`` where both are off.

    Args:
        config: its ``mixup`` and ``cutmix``.
        num_classes: number of classes.

    Returns:
        A callable from images (B x C x H x W) and labels (B, whole numbers) to mixed images and labels
        (B x classes, each row summing to 1). It draws from torch's global generator.

    Raises:
        HemfError: an alpha below 0.
    """
    if min(config.mixup, config.cutmix) < 0:
        raise HemfError(
            f"mixup {config.mixup} and cutmix {config.cutmix} may not be below 0; 0 is off, 0.2 to 1 usual"
        )
    mixers: list[Any] = []
    if config.mixup:
        mixers.append(v2.MixUp(alpha=config.mixup, num_classes=num_classes))
    if config.cutmix:
        mixers.append(v2.CutMix(alpha=config.cutmix, num_classes=num_classes))
    return v2.RandomChoice(mixers) if len(mixers) == 2 else next(iter(mixers), None)
