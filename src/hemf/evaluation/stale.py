"""Marks evaluations that were made before a model was calibrated anew, which are no longer the model's."""

import json
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.core.files import write_json, write_text
from hemf.core.text import printable

if TYPE_CHECKING:
    from hemf.runs.folder import OpenRuns

STALE = (
    "Warning: the model was calibrated anew after this evaluation, so its probabilities, prediction sets and "
    "thresholds are no longer the model's; evaluate again."
)
MAIN = '<main id="main" tabindex="-1">\n'
"""Where the body of ``report.html`` begins."""


def mark_stale(runs: "OpenRuns") -> list[Path]:
    """Say in every evaluation of a model, and of the cross-validation it is part of, that it is outdated.

    Of several runs only the evaluations of just this ensemble are.

    The note goes to the head of ``report.html`` and ``tables.md``, as a comment into ``tables.tex``, and into
    ``metrics.json`` as ``stale``.

    Returns:
        The folders that were marked now.
    """
    several = len(runs.members) > 1
    members = _places(one.path or one.model for one in runs.members) if several else None
    return [folder for folder in _evaluations(runs) if _mark(folder, members)]


def _evaluations(runs: "OpenRuns") -> Iterator[Path]:
    from hemf.runs.folder import fold_paths

    opened = runs.home
    places = [opened.path or opened.model]
    if len(runs.members) == 1 and opened.path is not None and opened.path in fold_paths(opened.path.parent):
        places.append(opened.path.parent)
    for place in places:
        for file in sorted((place / "evaluation").glob("*/metrics.json")):
            if not file.parent.is_symlink():  # a link may lead to files that are not ours
                yield file.parent


def _mark(folder: Path, members: list[str] | None) -> bool:
    """Mark one evaluation, of this ensemble where ``members`` are named; whether it was not yet."""
    try:
        report = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(report, dict) or "stale" in report:
        return False
    if members is not None and _places(report.get("members") or ()) != members:
        return False
    _at_head(folder / "report.html", MAIN, f'<p class="warning">{STALE}</p>\n')
    _at_head(folder / "tables.md", "", f"**{STALE}**\n\n")
    _at_head(folder / "tables.tex", "", f"% {STALE}\n")
    write_json(folder / "metrics.json", report | {"stale": STALE})
    return True


def _places(runs: Iterable[Any]) -> list[str]:
    return sorted(os.path.realpath(str(run)) for run in runs)


def _at_head(file: Path, after: str, note: str) -> None:
    """Put a note into a file, if there is one, behind the first ``after``."""
    if file.is_file() and not file.is_symlink():
        text = file.read_text(encoding="utf-8")
        write_text(file, text.replace(after, after + note, 1))


def stale_line(folders: list[Path], run: str) -> str:
    """Return which evaluations are outdated, in a sentence."""
    names = ", ".join(str(folder) for folder in folders)
    return printable(
        f"Marked as made before this calibration: {names}; again: hemf evaluate {shlex.quote(run)}"
    )
