"""How a prepared data set is stored: written to a folder, and read back.

It is a folder with ``manifest.csv`` (one row an image: path, label, group, split, fold, and what else is
known of it), ``dataset.json`` (everything else) and ``fingerprints.csv`` (by which its files are known
again). The first two may be edited by hand: counts and hash are worked out anew from the rows at every load,
and a manifest that no longer agrees with the hash in ``dataset.json`` is marked ``"edited": true`` in its
split.
"""

import os
from pathlib import Path
from typing import Any

from hemf.core.errors import HemfError
from hemf.core.files import write_json, write_text
from hemf.core.untrusted import read_json
from hemf.data.dataset import DataSet
from hemf.data.fingerprints import FILE, read_fingerprints, write_fingerprints
from hemf.data.metadata.column import KINDS as KINDS_OF_COLUMNS
from hemf.data.metadata.column import Kind
from hemf.data.sources.csv import read_rows

WRITTEN = ("manifest.csv", "dataset.json", FILE, "images")  # what a prepared data set consists of
WORKED_OUT = ("name", "classes", "root", "images", "groups", "counts", "hash", "files_hash", "metadata")
KIND_NAMES = {str: "text", list: "list", dict: "mapping"}
KINDS = {"name": str, "classes": list, "root": str, "split": dict, "metadata": list}
"""Types of entries of ``dataset.json``."""


def write_data_set(data: DataSet, folder: str | os.PathLike) -> None:
    """Write ``manifest.csv``, ``dataset.json`` and, where any are known, ``fingerprints.csv``.

    A root inside ``folder`` is written relative to it, so that the folder may be moved.

    Raises:
        HemfError: the folder cannot be written.
    """
    folder, root = Path(folder).resolve(), data.root.resolve()
    write_text(folder / "manifest.csv", data.rows())
    write_fingerprints(folder / FILE, (s.path for s in data.samples), data.fingerprints)
    head = {
        "name": data.name,
        "classes": data.classes,
        "root": root.relative_to(folder).as_posix() if root.is_relative_to(folder) else str(root),
        "images": len(data.samples),
        "groups": data.groups,
        "counts": data.counts(),
        "hash": data.hash,
        "files_hash": data.files_hash,
    }
    described = [column.to_json() for column in data.columns]
    about = head | ({"metadata": described} if described else {})
    write_json(folder / "dataset.json", about | data.info)


def read_data_set(folder: str | os.PathLike, trainable: bool = True) -> DataSet:
    """Read what ``write_data_set`` has written; whether the images exist is left to ``check``.

    Args:
        folder: where they lie.
        trainable: whether ``check_trainable`` must agree too.

    Raises:
        HemfError: a file is missing or malformed, or a check finds a fault.
    """
    folder = Path(folder)
    about = read_json(folder / "dataset.json", "prepare the data set again")
    for key, kind in KINDS.items():
        if not isinstance(about.get(key, kind()), kind):
            raise HemfError(
                f"{key} in {folder / 'dataset.json'} is no {KIND_NAMES[kind]}; prepare the data set again"
            )
    if not all(isinstance(name, str) for name in about.get("classes", [])):
        raise HemfError(f"a class in {folder / 'dataset.json'} is not a name; prepare the data set again")
    data = DataSet(
        name=about.get("name", folder.name),
        classes=about.get("classes") or [],
        samples=read_rows(folder / "manifest.csv"),
        root=(folder / about.get("root", ".")).resolve(),
        info={key: value for key, value in about.items() if key not in WORKED_OUT},
        fingerprints=read_fingerprints(folder / FILE),
        kinds=_kinds(about.get("metadata", [])),
    )
    data.classes = data.classes or sorted({s.label for s in data.samples})
    if about.get("hash", data.hash) != data.hash:
        data.info["split"] = data.info.get("split", {}) | {"edited": True}
    data.check()
    if trainable:
        data.check_trainable()
    return data


def _kinds(described: list[Any]) -> dict[str, Kind]:
    """Return the kinds that ``dataset.json`` names; what is none, as a stranger may write, is told anew."""
    return {
        one["name"]: one["kind"]
        for one in described
        if isinstance(one, dict) and isinstance(one.get("name"), str) and one.get("kind") in KINDS_OF_COLUMNS
    }
