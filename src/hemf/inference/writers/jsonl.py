"""Predictions as JSON lines: an object for each image."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from hemf.core.files import whole_file
from hemf.inference.classifier import Prediction
from hemf.inference.writers.registry import COLUMNS, FORMATS, OutputFormat


def write_jsonl(
    predictions: Iterable[Prediction], classes: Sequence[str], path: Path, extras: Sequence[str] = ()
) -> int:
    """Write path, prediction, its probability, the ``extras``, and all ``probabilities``."""
    rows = 0
    with whole_file(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        for found in predictions:
            values = dict(zip(COLUMNS, (found.path, found.label, found.probability), strict=True))
            own = {name: getattr(found, name) for name in extras}
            file.write(json.dumps(values | own | {"probabilities": found.probabilities}) + "\n")
            rows += 1
    return rows


def _is_ours(path: Path) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and tuple(first)[: len(COLUMNS)] == COLUMNS


FORMATS.register(".jsonl")(OutputFormat(write_jsonl, _is_ours))
