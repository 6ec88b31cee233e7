"""Which model it is: the hash of what decides its answers, and what it is called."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.untrusted import plain_name
from hemf.data.fingerprints import sha256_of
from hemf.familiarity.record import FILE
from hemf.runs.folder import RunPaths, open_runs

DECIDING = (".safetensors", ".onnx", ".xml", ".bin")
"""Suffixes of the files that hold a network, whose content decides with ``config.json`` what it answers."""


def digest(place: RunPaths) -> str:
    """Return the SHA-256 of what decides a model's answers.

    It is that of the lines that ``sha256sum config.json model.safetensors`` prints in the model's folder; of
    an ensemble, those of all its members and of the file with its own calibration.

    Args:
        place: as ``hemf.load`` takes it.
    """
    runs = open_runs(place)
    files = [file for one in runs.members for file in _deciding(one.model)]
    if len(runs.members) > 1:
        homes = [runs.folds] if runs.folds else [one.path or one.model for one in runs.members]
        files += [file for home in homes for file in sorted(home.glob("ensemble*.json"))]
    lines = [f"{sha256_of(file)}  {file.name}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _deciding(folder: Path) -> list[Path]:
    files = [p for p in folder.rglob("*") if p.name == "config.json" or p.suffix in DECIDING]
    return sorted(p for p in files if p.name != FILE)  # whose hash stands in config.json


def named(run: str, others: Sequence[str]) -> dict[str, str]:
    """Give every model that is to be served its name.

    Args:
        run: the first, which is called as its folder is, or ``name=PATH``.
        others: further ones, each ``name=PATH``.

    Returns:
        Places by name, in order.

    Raises:
        HemfError: one has no name, or two have the same.
    """
    if bad := [one for one in others if not one.partition("=")[0] or not one.partition("=")[2]]:
        raise HemfError(f"--model is {bad[0]}; give name=PATH")
    found: dict[str, str] = {}
    for text in (run, *others):
        name, equals, place = text.partition("=")
        if not equals or Path(text).exists():
            name, place = _folder_name(text), text
        if name in found:
            raise HemfError(f"two models are called {name!r}; give another --model name=PATH")
        if name != plain_name(name, "") or " " in name:
            raise HemfError(f"a model cannot be called {name!r}; use letters, digits, - and _")
        found[name] = place
    return found


def _folder_name(place: str) -> str:
    """Return what a model is called after the folder of its run, or of the first of several."""
    path = Path(place.split(",")[0]).absolute()
    path = path.parent if path.name == "model" else path
    return plain_name(path.name, "model").replace(" ", "-")
