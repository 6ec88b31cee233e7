"""How often the 95% intervals of an evaluation hold the truth, on images whose truth is known.

python benchmarks/interval_coverage.py

Writes benchmarks/results/interval-coverage.json. Logits are normal with a standard deviation of 1.5, labels
are drawn from their softmax, and the model says the logits times ``too_sure``: at 1 it is perfectly
calibrated. The truth is that of 500,000 such images. One thread, some minutes.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from common import described
from hemf.core.files import write_json
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws
from hemf.metrics.calibration import calibration_entry
from hemf.metrics.calibration_intervals import with_confidence_intervals
from hemf.metrics.classification import classification_metrics
from hemf.metrics.intervals import with_intervals

MEASURES = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_macro", "log_loss")


def drawn(rng: np.random.Generator, n: int, k: int, too_sure: float) -> tuple[np.ndarray, np.ndarray]:
    """N labels, and N x K probabilities of a model that is ``too_sure``."""
    logits = 1.5 * rng.normal(size=(n, k))
    labels = (softmax(logits, axis=1).cumsum(1) < rng.random((n, 1))).sum(1).clip(0, k - 1)
    return labels, softmax(too_sure * logits, axis=1)


def measured(labels: np.ndarray, probabilities: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    """The measures of interest, with their intervals."""
    classes = [str(k) for k in range(probabilities.shape[1])]
    report = classification_metrics(labels, probabilities, classes)
    report["calibration"] = calibration_entry(labels, probabilities)
    if resamples:
        unnamed = [""] * len(labels)
        predictions, draws = (
            Predictions(unnamed, labels, probabilities, unnamed, classes),
            Draws(resamples, seed),
        )
        report = with_confidence_intervals(with_intervals(report, predictions, draws), predictions, draws)
    found = {name: report["metrics"][name] for name in MEASURES}
    return found | {name: report["calibration"][name] for name in ("ece", "brier")}


def covered(
    truth: dict[str, Any], n: int, k: int, too_sure: float, experiments: int, resamples: int
) -> dict[str, Any]:
    """Share of experiments whose intervals hold the truth, by measure, beside truth and mean estimate."""
    rng = np.random.default_rng(n)
    found = [
        measured(*drawn(rng, n, k, too_sure), resamples=resamples, seed=seed) for seed in range(experiments)
    ]
    result: dict[str, Any] = {"n": n, "classes": k, "too_sure": too_sure}
    for name, true in truth.items():
        ones = [one[name] for one in found if "ci95" in one[name]]
        held = [one["ci95"][0] <= true["value"] <= one["ci95"][1] for one in ones]
        result[name] = {
            "truth": round(true["value"], 4),
            "mean_estimate": round(float(np.mean([one[name]["value"] for one in found])), 4),
            "intervals": len(held),
            "held": round(float(np.mean(held)), 3) if held else None,
            "mean_width": round(float(np.mean([np.ptp(one["ci95"]) for one in ones])), 4) if held else None,
        }
    return result


def main() -> None:
    """Read the command line, measure, write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    results = Path(__file__).parent / "results"
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--out", type=Path, default=results / "interval-coverage.json")
    given = parser.parse_args()
    rows = []
    for k in (2, 7):
        for too_sure in (1.0, 1.5, 3.0):
            images = drawn(np.random.default_rng(0), 500_000, k, too_sure)
            truth = measured(*images, resamples=0, seed=0)
            for n in given.sizes:
                rows.append(covered(truth, n, k, too_sure, given.experiments, given.resamples))
                held = {name: one["held"] for name, one in rows[-1].items() if isinstance(one, dict)}
                print(f"{k} classes, too sure {too_sure:g}, n = {n}: {held}", flush=True)
    about = {"experiments": given.experiments, "resamples": given.resamples} | described()
    write_json(given.out, about | {"coverage": rows})


if __name__ == "__main__":
    main()
