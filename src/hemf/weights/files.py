"""Weights from disk: of a run, of a model's folder, or a bare file of tensors."""

import os
from pathlib import Path

from timm.models import load_state_dict
from torch import Tensor

from hemf.core.errors import HemfError
from hemf.core.text import one_line
from hemf.models.hub import INPUT, load_model
from hemf.runs.folder import is_model, open_run
from hemf.weights.registry import Weights

LIGHTNING = "model."
"""What stands before the names of weights in a checkpoint of a run."""


def of_folder(folder: Path) -> Weights:
    """Read the weights of a run or of a model's folder, hemf's or timm's.

    Raises:
        HemfError: it is neither, or damaged.
    """
    found = folder if is_model(folder) else open_run(folder).model
    try:
        model, config = load_model(found)
    except (ValueError, RuntimeError) as error:
        raise HemfError(f"cannot load the model in {found}: {one_line(error)}") from error
    names = config.get("label_names") or []
    return Weights(
        str(folder),
        model.state_dict(),
        config["architecture"],
        {key: value for key, value in config["pretrained_cfg"].items() if key in INPUT},
        tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else (),
    )


def of_file(file: Path) -> Weights:
    """Read the weights in a file of safetensors or a checkpoint; a pickled one is read as tensors alone.

    Of a checkpoint that has averaged weights those are taken. A ``config.json`` beside it is not looked at.

    Raises:
        HemfError: it holds no weights, or holds what is more than tensors.
    """
    try:
        tensors = load_state_dict(os.fspath(file), device="cpu", weights_only=True)
    except Exception as error:  # whatever reading a damaged or hostile file raises
        reason = one_line(error, 200)
        raise HemfError(
            f"cannot read weights from {file}: {reason}; give safetensors, or tensors alone"
        ) from error
    tensors = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    if not tensors:
        raise HemfError(
            f"{file} holds no tensors; give a file of weights, or a folder that hemf or timm saved"
        )
    if all(name.startswith(LIGHTNING) for name in tensors):
        tensors = {name.removeprefix(LIGHTNING): value for name, value in tensors.items()}
    return Weights(str(file), tensors)
