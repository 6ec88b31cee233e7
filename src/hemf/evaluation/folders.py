"""Where an evaluation's files go: a folder of its own for each split of each data set."""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet

LONGEST_NAME = 40
"""Characters of a data set's name that are kept: a file system takes 255 bytes, of up to four a character."""
DIGITS = 8


def folder_name(split: str, images: "DataSet | None" = None, fold: int | None = None) -> str:
    """Name the folder of an evaluation, so that different evaluations have different folders.

    The run's own images are known by their split: ``test``. Those of another data set are known by its name,
    fold and split, of which what fits a folder's name is shown, and by a hash over these, the place of its
    images, and their names and labels: ``hospital-test-1a2b3c4d``.

    Args:
        split: train, val, test, or all.
        images: another data set; None for the run's own.
        fold: the fold tested on, of another data set in folds.
    """
    if images is None:
        return split
    name = re.sub(r"[^\w-]+", "-", images.name).strip("-")[:LONGEST_NAME].encode("utf-8", "replace").decode()
    shown = [name or "data", *([] if fold is None else [f"fold{fold}"]), split]
    about = [str(images.root.resolve()), images.name, images.hash, fold, split]
    return "-".join([*shown, hashlib.sha256(json.dumps(about).encode()).hexdigest()[:DIGITS]])


def find_evaluation(run: Path, name: str) -> Path:
    """Return the folder of an evaluation of a run, whose hash may be left out where that leaves no doubt.

    Raises:
        HemfError: it has none of that name, or several.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise HemfError(f"no split {name!r}; give the name of a folder under evaluation, such as test")
    base = run / "evaluation"
    if (base / name / "metrics.json").is_file():
        return base / name
    hashed = re.compile(re.escape(name) + rf"-[0-9a-f]{{{DIGITS}}}")
    made = sorted(file.parent for file in base.glob("*/metrics.json"))
    found = [folder for folder in made if hashed.fullmatch(folder.name)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(folder.name for folder in found)
        raise HemfError(f"{run} has several evaluations on {name}: {several}; give one of them as --split")
    words = " ".join(["hemf evaluate", str(run), *([] if name == "test" else ["--split", name])])
    have = f" (it has {', '.join(folder.name for folder in made)})" if made else ""
    raise HemfError(f"{run} has no predictions in evaluation/{name}{have}; first: {words}")


def replaced_line(folder: Path) -> str | None:
    """Say in a sentence which evaluation one written into ``folder`` replaces; None for none."""
    file = folder / "metrics.json"
    if not file.is_file():
        return None
    try:
        before: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        made = (before.get("environment") or {}).get("started")
    except (OSError, ValueError, AttributeError):
        made = None
    return f"This replaces the evaluation{f' of {made}' if made else ''} in {folder}."
