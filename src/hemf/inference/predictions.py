"""What a run said of the images of a split, read back from its evaluation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemf.core.errors import HemfError
from hemf.core.strict_csv import read_csv_table

HEAD = ["path", "label", "prediction"]


@dataclass(frozen=True)
class Predictions:
    """N images with their classes and a model's probabilities.

    Args:
        paths: where the images are, relative to their data set's root.
        labels: N class indices, int64.
        probabilities: N x K, float64.
        groups: patient or lesion of each image; empty where unknown.
        classes: names of the K classes.
    """

    paths: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    groups: list[str]
    classes: list[str]


def read_predictions(file: Path) -> Predictions:
    """The predictions that ``hemf evaluate`` wrote, with the images' groups.

    Groups are those of the run's manifest; of another data set, those of ``groups.csv`` beside the file.

    Args:
        file: a ``predictions.csv``, in its place ``RUN/evaluation/SPLIT``.

    Raises:
        HemfError: there is no such file, or it does not hold what hemf writes.
    """
    file = Path(file)
    try:
        if not file.exists():
            raise FileNotFoundError(file)
        table = read_csv_table(file, ",", errors="surrogateescape", mend="evaluate again")
        head, rows = table.head, table.rows
        classes = head[len(HEAD) :]
        index = {name: k for k, name in enumerate(classes)}
        probabilities = np.array([row[len(HEAD) :] for row in rows], dtype=np.float64)
        labels = np.array([index[row[1]] for row in rows], dtype=np.int64)
        if head[: len(HEAD)] != HEAD or probabilities.shape != (len(rows), len(classes)):
            raise ValueError("other columns")
    except FileNotFoundError as error:
        raise HemfError(f"no predictions at {file}; make them with hemf evaluate") from error
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise HemfError(f"{file} does not hold the predictions of hemf evaluate; evaluate again") from error
    known, paths = _groups(file), [row[0] for row in rows]
    return Predictions(paths, labels, probabilities, [known.get(path, "") for path in paths], classes)


def _groups(file: Path) -> dict[str, str]:
    """Group of each image by its path."""
    from hemf.data.sources.csv import read_rows

    beside, manifest = file.with_name("groups.csv"), file.parents[2] / "manifest.csv"
    if beside.is_file():
        table = read_csv_table(beside, ",", errors="surrogateescape", mend="evaluate again")
        return {row["path"]: row["group"] for row in table.records()}
    return {s.path: s.group for s in read_rows(manifest)} if manifest.is_file() else {}
