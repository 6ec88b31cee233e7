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
    predictions: Iterable[Prediction], classes: Sequence[str], path: Path, sets: bool = False
) -> int:
    """Write path, prediction, its probability and that of every class; sets fill ``set`` and ``abstain``."""
    rows = 0
    with (
        whole_file(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *(["set", "abstain"] if sets else []), *classes])
        for found in predictions:
            own = [json.dumps(found.set, ensure_ascii=False), json.dumps(found.abstain)] if sets else []
            writer.writerow([found.path, found.label, found.probability, *own, *found.probabilities.values()])
            rows += 1
    return rows


FORMATS.register(".csv")(OutputFormat(write_csv, is_table(*COLUMNS)))
