"""Finds what hemf itself wrote among a user's images, by content and not by name.

Who works in the folder of the images has hemf's runs, heat maps and prepared copies beside them.
"""

import os
from collections.abc import Set
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.outputs import is_picture
from hemf.core.strict_csv import read_csv_table

# what a folder is that holds all of these files, the first that fits; what lies in it is no image of the data
FOLDERS = {
    "a run": {"config.yaml", "manifest.csv"},
    "a prepared data set": {"dataset.json", "manifest.csv"},
    "a model": {"config.json", "model.safetensors"},
    "an evaluation": {"metrics.json", "predictions.csv"},
}
# files that may lie among a user's own
FILES = {
    "an audit": {"audit.json", "audit.html"},
    "heat maps": {"explain.csv"},
    "a benchmark": {"results.json", "table.csv"},
    "a profile": {"profile.json", "profile.tex"},
    "a comparison": {"comparison.json", "comparison.tex"},
}


def own_folder(names: Set[str]) -> str:
    """Return what a folder with files of these ``names`` is, if it is wholly hemf's; else empty."""
    return next((what for what, files in FOLDERS.items() if files <= names), "")


def own_files(names: Set[str]) -> str:
    """Say what hemf left in a folder with files of these ``names``, which may hold the user's too; or ""."""
    return next((what for what, files in FILES.items() if files <= names), "")


def own_pictures(folder: Path, names: Set[str]) -> set[str]:
    """Find the files ``names`` in ``folder`` that are pictures of hemf's: heat maps and contact sheets.

    They are those that a table of heat maps lists, and of what can be one (a heat map has its numbers beside
    it) those that name hemf as their software.
    """
    found = _listed(folder / "explain.csv") & names if "explain.csv" in names else set()
    for name in names - found:
        stem, suffix = os.path.splitext(name)
        heat = {f"{stem}.npy", f"{stem.removesuffix('-stages')}.npy"} & names
        if suffix.lower() == ".png" and (heat or "sheet" in stem) and is_picture(folder / name):
            found.add(name)
    return found


def _listed(table: Path) -> set[str]:
    """Return the names of the pictures in a table that ``hemf explain`` wrote."""
    try:
        rows = list(read_csv_table(table, ",", errors="surrogateescape").records())
    except HemfError:
        return set()
    return {row.get(column, "") for row in rows for column in ("overlay", "stages")} - {""}
