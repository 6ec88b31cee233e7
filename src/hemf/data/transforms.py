"""From a read image to the network's input: what validation sees, and what training draws at random.

Validation resizes with PIL, which gives the pixels of the paper's code and of timm, level for level.
Training's random crops are resized by torch instead, three times as fast and within two levels of 255 of
PIL's (``benchmarks/data_path.py``): they are random anyway. Both leave uint8; ``Normalise`` makes floats.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from PIL import Image
from timm.data import resolve_data_config
from timm.data.transforms import CenterCropOrPad, ResizeKeepRatio
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from hemf.config.options import Window
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.data.image.strips import central_part, is_strip, shrink
from hemf.data.tensor_transforms import Normalise, RandomCrop, RandomFlip, as_pixels

CROP_MODES = ("center", "border", "squash")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")

LARGEST_SIDE = 4096
"""Of the input that a model's folder may ask for, in pixels."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_size(value: Any) -> bool:
    whole = isinstance(value, list | tuple) and all(type(side) is int for side in value)
    return whole and len(value) == 3 and all(1 <= side <= LARGEST_SIDE for side in value)


def _is_levels(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) in (1, 3) and all(map(_is_number, value))


_ENTRIES: Mapping[str, Callable[[Any], bool]] = {
    "input_size": _is_size,
    "crop_pct": _is_number,
    "crop_mode": lambda value: isinstance(value, str),
    "interpolation": lambda value: isinstance(value, str),
    "mean": _is_levels,
    "std": _is_levels,
}
"""What timm's ``pretrained_cfg`` is read for, and what each entry must be."""

Transform = Callable[[Image.Image], Tensor]
PixelTransform = Callable[[Tensor], Tensor]


def check_entries(cfg: Mapping[str, Any]) -> None:
    """Check what a ``pretrained_cfg`` says of a model's input, which may come from a stranger.

    Raises:
        HemfError: an entry is not of its type, or a size is beyond what a stranger's model may ask for.
    """
    for name, fits in _ENTRIES.items():
        if name in cfg and not fits(cfg[name]):
            raise HemfError(f"{name} of the model's input is {str(cfg[name])[:100]}; correct its config.json")


@dataclass(frozen=True)
class InputSpec:
    """How an image becomes the network's input; it travels with the model in timm's words.

    Args:
        input_size: channels (1 or 3), height and width.
        crop_pct: share of the resized image's side that the central crop keeps.
        crop_mode: ``center`` resizes the short side and crops, ``border`` resizes the long side and pads with
            the mean, ``squash`` resizes both sides.
        interpolation: how pixels are resampled.
        mean: mean of each channel, on a scale of 0 to 1.
        std: standard deviation of each channel, on a scale of 0 to 1.
        window: window of DICOM images, as ``read_image`` takes it.

    Raises:
        HemfError: a value that makes no sense.
    """

    input_size: tuple[int, int, int]
    crop_pct: float
    crop_mode: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    window: str = "auto"

    def __post_init__(self) -> None:
        channels, height, width = self.input_size
        if channels not in (1, 3) or min(height, width) < 1:
            raise HemfError(
                f"input_size {self.input_size} is not (1 or 3 channels, height, width); correct it"
            )
        if not 0.1 <= self.crop_pct <= 1:
            raise HemfError(f"crop_pct {self.crop_pct} is not from 0.1 to 1; 0.875 is usual")
        if self.crop_mode not in CROP_MODES:
            raise HemfError(f"no crop_mode {self.crop_mode!r}; give one of {', '.join(CROP_MODES)}")
        if self.interpolation not in INTERPOLATIONS:
            raise HemfError(
                f"no interpolation {self.interpolation!r}; give one of {', '.join(INTERPOLATIONS)}"
            )
        if self.window not in get_args(Window):
            raise HemfError(f"no window {self.window!r}; give one of {', '.join(get_args(Window))}")
        if len(self.mean) != channels or len(self.std) != channels or min(self.std) <= 0:
            raise HemfError(
                f"mean {self.mean} and std {self.std} need {channels} values, those of std above 0"
            )

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Return the input that a run's options describe."""
        return cls(
            input_size=config.input_size,
            crop_pct=config.crop_pct,
            crop_mode=config.crop_mode,
            interpolation=config.interpolation,
            mean=_per_channel(config.mean, config.in_chans),
            std=_per_channel(config.std, config.in_chans),
            window=config.window,
        )

    @classmethod
    def from_pretrained_cfg(cls, cfg: Mapping[str, Any], window: str = "auto") -> Self:
        """Read the input that timm's ``pretrained_cfg`` describes, with timm's defaults for what is missing.

        timm allows no entries of others there, so the window stands elsewhere in a model's ``config.json``.

        Raises:
            HemfError: an entry is not of its type, or a size is beyond what a stranger's model may ask for.
        """
        check_entries(cfg)
        known = resolve_data_config(
            pretrained_cfg={k: cfg[k] for k in _ENTRIES if k in cfg} or {"input_size": (3, 224, 224)}
        )
        channels, height, width = known["input_size"]
        return cls(
            input_size=(channels, height, width),
            crop_pct=known["crop_pct"],
            crop_mode=known["crop_mode"],
            interpolation=known["interpolation"],
            mean=_per_channel(known["mean"], channels),
            std=_per_channel(known["std"], channels),
            window=window,
        )

    def to_pretrained_cfg(self) -> dict[str, Any]:
        """Return the same, but for the window, as part of timm's ``pretrained_cfg``, ready for JSON."""
        fields = asdict(self).items()
        return {name: list(v) if isinstance(v, tuple) else v for name, v in fields if name != "window"}

    @property
    def image_mode(self) -> Literal["RGB", "L"]:
        """Mode in which ``read_image`` must read: ``RGB``, or ``L`` for one channel."""
        return "RGB" if self.input_size[0] == 3 else "L"

    @property
    def fill(self) -> list[int]:
        """The mean as a colour, for pixels that no image covers."""
        return [round(255 * m) for m in self.mean]


def _per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """One value serves all channels; those of three channels are averaged for grey."""
    if len(values) == 1:
        return tuple(values) * channels
    return (sum(values) / len(values),) if channels == 1 else tuple(values)


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


class Resize:
    """Validation's resize, which of a strip takes no more memory than the strip itself.

    Where the centre is cut out anyway, a strip loses its ends first.

    Args:
        spec: the input.
        resize: what is done with any image that is no strip.
        size: height and width that it leads to, but for the proportions.
    """

    def __init__(
        self, spec: InputSpec, resize: Callable[[Image.Image], Image.Image], size: list[int]
    ) -> None:
        self.spec, self.resize, self.size = spec, resize, size

    def __call__(self, image: Image.Image) -> Image.Image:
        if not is_strip(image.size):
            return self.resize(image)
        if self.spec.crop_mode == "center":
            return self.resize(image.crop(central_part(image.size)))
        height, width = self.size
        if self.spec.crop_mode == "border":
            scale = min(width / image.width, height / image.height)
            width, height = (max(1, round(side * scale)) for side in image.size)
        return shrink(image, (width, height), Image.Resampling[self.spec.interpolation.upper()])


def centred(spec: InputSpec) -> list[Any]:
    """Return two steps on PIL images: resize, then cut out or pad around the centre."""
    resize, crop = _centred(spec)
    height, width = spec.input_size[1:]
    return [Resize(spec, resize, [math.floor(side / spec.crop_pct) for side in (height, width)]), crop]


def _centred(spec: InputSpec) -> list[Any]:
    """Return the two steps for usual proportions."""
    height, width = spec.input_size[1:]
    resized = [math.floor(side / spec.crop_pct) for side in (height, width)]
    interpolation = InterpolationMode(spec.interpolation)
    if spec.crop_mode == "squash":
        return [v2.Resize(resized, interpolation), v2.CenterCrop([height, width])]
    if spec.crop_mode == "border":
        resize = ResizeKeepRatio(resized, interpolation=spec.interpolation, longest=1.0)
        pad = CenterCropOrPad((height, width), fill=spec.fill)  # pyright: ignore[reportArgumentType]  # any sequences
        return [resize, pad]
    if height == width:
        return [v2.Resize(resized[:1], interpolation), v2.CenterCrop([height, width])]
    return [ResizeKeepRatio(resized, interpolation=spec.interpolation), v2.CenterCrop([height, width])]
