"""Finds what ``--init`` names: a file or folder, a source of the registry, or a model of timm or a hub."""

from pathlib import Path

import timm

import hemf.models  # noqa: F401  registers our models with timm
from hemf.core.errors import HemfError
from hemf.core.registry import load_plugins, suggestion
from hemf.weights import files, hub
from hemf.weights.registry import WEIGHTS, Weights


def find_weights(source: str) -> Weights:
    """Find the weights that ``source`` names.

    A name of the registry (such as ``lite0``) comes first, then what exists on the disk (a run's folder, a
    model's folder, a file of safetensors or a checkpoint), then a model of timm, with or without tag, and
    places such as ``hf-hub:...``.

    Raises:
        HemfError: there is nothing of that name, or it cannot be read or fetched.
    """
    path = Path(source)
    if source not in WEIGHTS and not path.exists() and ":" not in source and not timm.is_model(source):
        load_plugins()
    if source in WEIGHTS:
        return WEIGHTS[source]()
    if path.is_dir():
        return files.of_folder(path)
    if path.exists():
        return files.of_file(path)
    if ":" in source or timm.is_model(source):
        return hub.of_timm(source)
    hint = suggestion(
        source, [*WEIGHTS, *timm.list_models()], f"give one of {', '.join(WEIGHTS)}, a file or a run"
    )
    raise HemfError(f"no weights at {source}; {hint}")
