"""A trained model as a folder in timm's hub layout: ``model.safetensors`` and ``config.json``."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import timm
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from hemf.core.files import whole_file, write_text
from hemf.core.text import counted, one_line
from hemf.core.untrusted import MOST_CLASSES, read_json, refuse_links
from hemf.models.constructor import Shapes, check_arguments, network_arguments, shapes_of

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"

INPUT = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")
"""What a model's ``pretrained_cfg`` is read for."""

# Where timm found a model's weights says nothing about ours.
_SOURCES = ("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "tag")


def save_model(
    model: "TimmModel",
    folder: str | os.PathLike,
    *,
    architecture: str,
    model_args: Mapping[str, Any],
    classes: Sequence[str],
    pretrained_cfg: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    card: Callable[[Mapping[str, Any]], str] | None = None,
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
        card: makes the text of ``README.md`` from the configuration; None for no such file.

    Raises:
        ValueError: the number of ``classes`` is not the model's.
    """
    if len(classes) != model.num_classes:
        raise ValueError(
            f"{len(classes)} class names for a model with {counted(model.num_classes, 'class', 'classes')}: "
            "give one for each"
        )
    own = {key: value for key, value in model.pretrained_cfg.items() if key not in _SOURCES}
    config = {
        "architecture": architecture,
        "num_classes": model.num_classes,
        "num_features": model.num_features,
        "label_names": list(classes),
        "model_args": network_arguments(model_args),
        "pretrained_cfg": {**own, **pretrained_cfg, "num_classes": model.num_classes},
        **(extra or {}),
    }
    text = _as_text(config)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = save(state, metadata={"format": "pt"})  # what save_file makes, its owner alone may read
    with whole_file(folder / WEIGHTS) as temporary:
        temporary.write_bytes(weights)
    if card is not None:
        write_text(folder / CARD, card(config))
    write_text(folder / CONFIG, text)


def add_to_config(folder: str | os.PathLike, key: str, entries: Mapping[str, Any]) -> None:
    """Add ``entries`` to the mapping under ``key`` of a model's configuration, or replace those it has.

    Raises:
        ValueError: the folder is not a model's.
    """
    config = _read_config(Path(folder))
    text = _as_text(config | {key: {**(config.get(key) or {}), **entries}})
    write_text(Path(folder) / CONFIG, text)


def load_model(folder: str | os.PathLike) -> tuple["TimmModel", dict[str, Any]]:
    """Build the model of ``folder``, in eval mode on the CPU, and return it with its configuration.

    The folder may come from anyone: nothing in it is run, nothing is fetched, nothing outside it is read. Of
    ``model_args`` only the network's own arguments are taken, of ``pretrained_cfg`` only the input, and the
    names and shapes of the weights must be the network's before memory is taken for it.

    Raises:
        ValueError: the folder is not a model's, names an unknown architecture or an argument that is none of
            the network's, or its weights do not fit.
    """
    folder = Path(folder)
    architecture, args, config = checked_network(folder)
    try:
        model = cast("TimmModel", timm.create_model(architecture, **args))
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise _unfit(folder, architecture, error) from error
    own = {key: value for key, value in model.pretrained_cfg.items() if key not in _SOURCES}
    seen = {key: value for key, value in config["pretrained_cfg"].items() if key in INPUT}
    model.pretrained_cfg = own | seen | {"num_classes": args["num_classes"]}
    return model.eval(), config


def checked_network(folder: str | os.PathLike) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return architecture, arguments and configuration of a model's folder, whose weights are that network's.

    Raises:
        ValueError: as for ``load_model``.
    """
    folder = Path(folder)
    refuse_links(folder)
    config = _read_config(folder)
    architecture, args = network_of(folder, config)
    try:
        _check_fit(weights_shapes(folder / WEIGHTS), architecture, args)
    except ValueError as error:
        raise _unfit(folder, architecture, error) from error
    return architecture, args, config


def new_model(folder: str | os.PathLike) -> "TimmModel":
    """Return the network of a model's folder with newly drawn weights.

    Raises:
        ValueError: as for ``load_model``.
    """
    folder = Path(folder)
    architecture, args = network_of(folder)
    return cast("TimmModel", timm.create_model(architecture, **args))


def weights_shapes(path: str | os.PathLike) -> Shapes:
    """Read names and shapes of the tensors in a safetensors file from its header, which must fit its size.

    Raises:
        ValueError: it cannot be read, or is not such a file.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} is missing, or no regular file")
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


def network_of(folder: Path, config: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """Return the architecture and the arguments that a model's folder names, checked.

    Args:
        folder: the folder.
        config: its configuration, where that has been read already.

    Raises:
        ValueError: the folder is not a model's, or names an unknown architecture or an argument that is none
            of the network's.
    """
    config = _read_config(folder) if config is None else config
    missing = [key for key in ("architecture", "num_classes", "pretrained_cfg") if key not in config]
    if missing:
        raise ValueError(
            f"{folder / CONFIG} lacks {missing[0]!r}: it is not in timm's hub layout; save the model again"
        )
    architecture, classes = config["architecture"], config["num_classes"]
    if not isinstance(classes, int) or isinstance(classes, bool) or not 0 <= classes <= MOST_CLASSES:
        raise ValueError(f"num_classes in {folder / CONFIG} must be from 0 to {MOST_CLASSES}: correct it")
    if not isinstance(config["pretrained_cfg"], dict):
        raise ValueError(f"pretrained_cfg in {folder / CONFIG} must hold names and values: correct it")
    args = config.get("model_args") or {}
    try:
        check_arguments(architecture, args)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None
    return architecture, {"num_classes": classes, **args}


def _unfit(folder: Path, architecture: str, error: Exception) -> ValueError:
    reason = one_line(error, 300)
    return ValueError(f"cannot load {folder / WEIGHTS} into {architecture}: {reason}; save the model again")


def _check_fit(weights: Shapes, architecture: str, args: Mapping[str, Any]) -> None:
    """Check that the network has just these tensors, before memory is taken for it."""
    elements = sum(math.prod(shape) for shape in weights.values())
    network = shapes_of(architecture, args, len(weights), elements)
    for name in sorted(network.keys() ^ weights.keys()):
        raise ValueError(f"{name[:100]!r} is {'missing' if name in network else 'no tensor of the network'}")
    for name, shape in network.items():
        if weights[name] != shape:
            raise ValueError(f"size mismatch: {name} is {weights[name]}, in the network {shape}")


def _read_config(folder: Path) -> dict[str, Any]:
    return read_json(folder / CONFIG, "this is not a model's folder; give one that hemf or timm has saved")


def _as_text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
