"""A trained model as a folder in timm's hub layout: ``model.safetensors`` and ``config.json``."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from timm.models import is_model
from torch import nn

WEIGHTS = "model.safetensors"
CONFIG = "config.json"

# Where timm found a model's weights says nothing about ours.
_SOURCES = ("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "tag")


def save_model(
    model: nn.Module,
    folder: str | os.PathLike,
    *,
    architecture: str,
    model_args: Mapping[str, Any],
    classes: Sequence[str],
    pretrained_cfg: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write ``model`` so that ``timm.create_model("local-dir:FOLDER", pretrained=True)`` builds it again.

    Each file appears whole or not at all, the configuration last.

    Args:
        model: the model, created by timm.
        folder: where to write; made if it does not exist.
        architecture: its name with timm.
        model_args: further arguments it was created with, such as ``in_chans``.
        classes: names of the classes, in the order of the logits.
        pretrained_cfg: what of timm's configuration differs from the model's own: input_size, crop_pct,
            crop_mode, interpolation, mean, std.
        extra: further entries of ``config.json``.

    Raises:
        ValueError: the number of ``classes`` is not the model's.
    """
    if len(classes) != model.num_classes:
        raise ValueError(
            f"{len(classes)} class names for a model with {model.num_classes} classes: give one for each"
        )
    own = {key: value for key, value in model.pretrained_cfg.items() if key not in _SOURCES}
    config = {
        "architecture": architecture,
        "num_classes": model.num_classes,
        "num_features": model.num_features,
        "label_names": list(classes),
        "model_args": dict(model_args),
        "pretrained_cfg": {**own, **pretrained_cfg, "num_classes": model.num_classes},
        **(extra or {}),
    }
    text = _as_text(config)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = save(state, metadata={"format": "pt"})  # what save_file makes, its owner alone may read
    _write_whole(folder / WEIGHTS, lambda path: path.write_bytes(weights))
    _write_whole(folder / CONFIG, lambda path: path.write_text(text, encoding="utf-8"))


def add_to_config(folder: str | os.PathLike, key: str, entries: Mapping[str, Any]) -> None:
    """Add ``entries`` to the mapping under ``key`` of a model's configuration, or replace those it has.

    Raises:
        ValueError: the folder is not a model's.
    """
    config = _read_config(Path(folder))
    text = _as_text(config | {key: {**(config.get(key) or {}), **entries}})
    _write_whole(Path(folder) / CONFIG, lambda path: path.write_text(text, encoding="utf-8"))


def load_model(folder: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """Build the model of ``folder``, in eval mode on the CPU, and return it with its configuration.

    Raises:
        ValueError: the folder is not a model's, names an unknown architecture, or its weights do not fit.
    """
    folder = Path(folder)
    config = _read_config(folder)
    try:
        architecture, num_classes, cfg = (
            config[k] for k in ("architecture", "num_classes", "pretrained_cfg")
        )
    except KeyError as error:
        raise ValueError(
            f"{folder / CONFIG} lacks {error}: it is not in timm's hub layout; save the model again"
        ) from None
    if not is_model(architecture):
        raise ValueError(
            f"{folder / CONFIG} names an unknown architecture, {architecture}: update hemf and timm"
        )
    args = {"num_classes": num_classes, **config.get("model_args", {})}
    model = timm.create_model(architecture, pretrained_cfg=dict(cfg), **args)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"cannot load {folder / WEIGHTS} into {architecture}: {reason}; save the model again"
        ) from error
    return model.eval(), config


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"{folder} is not a model's folder: {CONFIG} cannot be read ({error.strerror}); "
            "give the folder that has it"
        ) from error
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG} is not JSON ({error}): save the model again") from error


def _as_text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
