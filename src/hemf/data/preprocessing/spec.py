"""How an image becomes a network's input, as data: what a model's ``config.json`` says of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from hemf.config.options import Window
from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from hemf.config.run_config import RunConfig

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

DEFAULTS: Mapping[str, Any] = {
    "input_size": (3, 224, 224),
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
"""What timm takes for entries that are missing or empty."""


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
    def from_config(cls, config: "RunConfig") -> Self:
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
        known = {name: cfg.get(name) or default for name, default in DEFAULTS.items()}
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
