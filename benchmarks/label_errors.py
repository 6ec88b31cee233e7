"""What ``hemf data audit --run`` finds of planted label errors.

python benchmarks/label_errors.py RUN --out benchmarks/results/label-errors-NAME.json [--draws 20]

A share of the labels of the images that the run has predicted without having been trained on them is changed,
each to another class at random, and sought by the audit's own search. Recall is of the planted errors;
precision counts every other find as wrong, also an image whose published label may be wrong, so it is a lower
bound. The labels that the run was trained on stay as they were.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from common import described
from hemf.core.files import write_json
from hemf.data.manifest import read_data_set
from hemf.evaluation.label_errors import likely_wrong
from hemf.evaluation.out_of_sample import out_of_sample
from hemf.inference.predictions import Predictions

SHARES = (0.02, 0.05, 0.1)


def planted(found: Predictions, share: float, rng: np.random.Generator) -> dict[str, float]:
    """Plant errors once, and seek them."""
    n, k = found.probabilities.shape
    wrong = rng.choice(n, round(share * n), replace=False)
    labels = found.labels.copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, k, len(wrong))) % k
    names = [str(i) for i in range(n)]
    order = [int(one["path"]) for one in likely_wrong(names, labels, found.probabilities, found.classes)]
    hits = np.isin(order, wrong)
    first = hits[: len(wrong)]
    return {
        "planted": len(wrong),
        "listed": len(order),
        "recall": float(hits.sum() / len(wrong)),
        "precision": float(hits.mean()) if len(order) else 0.0,
        "precision_of_as_many_as_planted": float(first.mean()) if len(first) else 0.0,
    }


def summed_up(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Mean and the range of 95% of the draws."""
    return {
        name: {
            "mean": float(np.mean([row[name] for row in rows])),
            "range95": np.quantile([row[name] for row in rows], [0.025, 0.975]).tolist(),
        }
        for name in rows[0]
    }


def main() -> None:
    """Read the command line, plant, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    data = read_data_set(arguments.run)
    sample, rng = out_of_sample(arguments.run, data), np.random.default_rng(0)
    found = sample.predictions
    by_share = {
        f"{share:.0%}": summed_up([planted(found, share, rng) for _ in range(arguments.draws)])
        for share in SHARES
    }
    as_published = likely_wrong(found.paths, found.labels, found.probabilities, found.classes)
    report = {
        "run": arguments.run.name,
        "data": {"name": data.name, "hash": data.hash, "classes": data.classes},
        "predictions": sample.how,
        "images": len(found.paths),
        "accuracy": float((found.decisions == found.labels).mean()),
        "draws": arguments.draws,
        "listed_without_planted": len(as_published),
        "by_share_planted": by_share,
        **described(),
    }
    write_json(arguments.out, report)
    print(report["by_share_planted"])


if __name__ == "__main__":
    main()
