"""Predictions as comma-separated values: a row for each image, a column for every class."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from hemf.core.files import whole_file
from hemf.core.outputs import is_table
from hemf.inference.classifier import Prediction
from hemf.inference.writers.registry import COLUMNS, FORMATS, OutputFormat


def write_csv(
    predictions: Iterable[Prediction], classes: Sequence[str], path: Path, extras: Sequence[str] = ()
) -> int:
    """Write path, prediction, its probability and that of every class, ``extras`` before these."""
    rows = 0
    with (
        whole_file(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *extras, *classes])
        for found in predictions:
            own = [json.dumps(getattr(found, name), ensure_ascii=False) for name in extras]
            writer.writerow([found.path, found.label, found.probability, *own, *found.probabilities.values()])
            rows += 1
    return rows


FORMATS.register(".csv")(OutputFormat(write_csv, is_table(*COLUMNS)))
