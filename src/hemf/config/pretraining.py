"""The options of a pretraining: those of a run, with defaults of their own, and what is learnt from which."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from hemf.config.options import GROUPS
from hemf.config.run_config import RunConfig, one_device
from hemf.config.spelling import flags
from hemf.core.errors import HemfError
from hemf.core.untrusted import read_yaml

UNUSED = (
    *("task", "probe", "probe_first", "val_split", "mixup", "cutmix", "freeze_epochs", "freeze_norm"),
    *("sampling", "loss", "loss_args", "teacher_weight", "teacher_temperature", "label_smoothing"),
    *("class_weights", "monitor", "patience", "devices", "num_nodes", "strategy"),
)
"""Options of a run that play no part in a pretraining."""


@dataclass
class PretrainingOptions:
    """Pretraining

    Args:
        method: what is learnt without labels: `distill` to see as a --teacher does, or the name of another
            registered method.
        use: `train` takes the training side of a data set that is split, so that its test images are not
            met; `all` takes every image, and says so wherever the model is evaluated.
    """

    method: str = "distill"
    use: Literal["train", "all"] = "train"


@dataclass
class PretrainConfig(PretrainingOptions, RunConfig):
    """All options of a pretraining."""

    groups: ClassVar[tuple[type, ...]] = (PretrainingOptions, *GROUPS)

    model: str = "hemf_tiny"
    epochs: int = 100
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 2.0
    crop_scale: tuple[float, float] = (0.2, 1.0)
    vflip: float = 0.5
    color_jitter: float = 0.3
    clip_grad: float | None = 1.0
    devices: int | str = 1

    @classmethod
    def given(cls, device: str | None = None, **options: Any) -> Self:
        """Take the defaults, with ``options`` over them.

        Args:
            device: see ``RunConfig.of``.
            options: any field that plays a part.

        Raises:
            HemfError: an option that does not exist, or plays no part.
        """
        if unused := [name for name in UNUSED if name in options]:
            raise HemfError(f"{flags(unused)} plays no part in pretraining; leave it out")
        on = {} if device is None else one_device(device)
        if on.get("devices") == "auto":
            on["devices"] = 1
        return cls._checked(options | on)


def is_pretraining(run: Path) -> bool:
    """Return whether the run in a folder is a pretraining.

    Raises:
        HemfError: its options cannot be read.
    """
    options = read_yaml(run / "config.yaml") if (run / "config.yaml").is_file() else None
    return isinstance(options, dict) and "method" in options
