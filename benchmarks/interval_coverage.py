"""How often the 95% intervals of an evaluation hold the truth, on images whose truth is known.

python benchmarks/interval_coverage.py

Writes benchmarks/results/interval-coverage.json. Of independent images, logits are normal with a standard
deviation of 1.5, labels are drawn from their softmax, and the model says the logits times ``too_sure``: at 1
it is perfectly calibrated. Of patients with five images each, four fifths of the variance of what the model
sees, beyond the class, are shared by the images of a patient. The truth is that of 500,000 such images. One
thread, some minutes. (Called statistics.py, it would stand before Python's own module of that name.)
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
IMAGES = 5
SIGNAL, BY_PATIENT = 1.0, 0.8
"""Images of a patient; distance of a class from the rest; share of the variance that is the patient's."""
SHARES = {2: (0.5, 0.5), 4: (0.6, 0.25, 0.1, 0.05)}
MIXES = {
    "one in each patient, of fixed number": (2, "fixed"),
    "one in each patient, as they come": (2, "as they come"),
    "mixed in patients": (2, "mixed"),
    "four, one in each patient, shares 60, 25, 10, 5 %": (4, "fixed"),
}


def drawn(rng: np.random.Generator, n: int, k: int, too_sure: float) -> tuple[np.ndarray, np.ndarray]:
    """N labels, and N x K probabilities of a model that is ``too_sure``."""
    logits = 1.5 * rng.normal(size=(n, k))
    labels = (softmax(logits, axis=1).cumsum(1) < rng.random((n, 1))).sum(1).clip(0, k - 1)
    return labels, softmax(too_sure * logits, axis=1)


def of_patients(rng: np.random.Generator, patients: int, k: int, mix: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities by k classes, of ``IMAGES`` of each patient, one patient after the other."""
    shares = np.array(SHARES[k])
    if mix == "fixed":
        labels = np.repeat(np.arange(k), np.round(shares * patients).astype(int) * IMAGES)
    elif mix == "as they come":
        labels = np.repeat(rng.choice(k, patients, p=shares), IMAGES)
    else:
        labels = rng.choice(k, patients * IMAGES, p=shares)
    whose = np.repeat(rng.normal(size=(patients, k)), IMAGES, axis=0)
    seen = np.sqrt(BY_PATIENT) * whose + np.sqrt(1 - BY_PATIENT) * rng.normal(size=whose.shape)
    return labels, softmax(1.5 * (seen + SIGNAL * np.eye(k)[labels]) + np.log(shares), axis=1)


def measured(
    labels: np.ndarray, probabilities: np.ndarray, resamples: int, seed: int, images: int = 1
) -> dict[str, Any]:
    """The measures of interest, with their intervals; ``images`` of each patient, where it is not 1."""
    classes = [str(k) for k in range(probabilities.shape[1])]
    report = classification_metrics(labels, probabilities, classes)
    report["calibration"] = calibration_entry(labels, probabilities)
    if resamples:
        groups = [str(i // images) if images > 1 else "" for i in range(len(labels))]
        predictions = Predictions([""] * len(labels), labels, probabilities, groups, classes)
        draws = Draws(resamples, seed)
        report = with_confidence_intervals(with_intervals(report, predictions, draws), predictions, draws)
    found = {name: report["metrics"][name] for name in MEASURES}
    found["recall_of_the_last_class"] = report["per_class"][classes[-1]]["recall"]
    return found | {name: report["calibration"][name] for name in ("ece", "brier")}


def covered(
    truth: dict[str, Any], n: int, k: int, too_sure: float, experiments: int, resamples: int
) -> dict[str, Any]:
    """Share of experiments whose intervals hold the truth, by measure, beside truth and mean estimate."""
    rng = np.random.default_rng(n)
    found = [
        measured(*drawn(rng, n, k, too_sure), resamples=resamples, seed=seed) for seed in range(experiments)
    ]
    return {"n": n, "classes": k, "too_sure": too_sure} | _held(truth, found)


def covered_by_patient(
    truth: dict[str, Any], patients: int, mix: str, experiments: int, resamples: int
) -> dict[str, Any]:
    """The same where several images show one patient."""
    rng = np.random.default_rng(patients)
    found = [
        measured(*of_patients(rng, patients, *MIXES[mix]), resamples, seed, IMAGES)
        for seed in range(experiments)
    ]
    return {"patients": patients, "images_each": IMAGES, "classes": mix} | _held(truth, found)


def _held(truth: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    result = {}
    for name, true in truth.items():
        ones = [one[name] for one in found if "ci95" in one[name]]
        held = [one["ci95"][0] <= true["value"] <= one["ci95"][1] for one in ones]
        result[name] = {
            "truth": round(true["value"], 4),
            "mean_estimate": _mean([one[name]["value"] for one in found]),
            "intervals": len(held),
            "held": round(float(np.mean(held)), 3) if held else None,
            "mean_width": round(float(np.mean([np.ptp(one["ci95"]) for one in ones])), 4) if held else None,
        }
    return result


def _divides(patients: int, shares: tuple[float, ...]) -> bool:
    """Whether each class has a whole number of patients, so that the mix is that of the truth."""
    return all(abs(patients * share - round(patients * share)) < 1e-9 for share in shares)


def _mean(values: list[float | None]) -> float:
    return round(float(np.mean([value for value in values if value is not None])), 4)


def main() -> None:
    """Read the command line, measure, write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    results = Path(__file__).parent / "results"
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--patients", type=int, nargs="+", default=[10, 20, 40, 100])
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
    by_patient = []
    for mix, kind in MIXES.items():
        truth = measured(*of_patients(np.random.default_rng(0), 100_000, *kind), resamples=0, seed=0)
        whole = [n for n in given.patients if kind[1] != "fixed" or _divides(n, SHARES[kind[0]])]
        for patients in whole:
            by_patient.append(covered_by_patient(truth, patients, mix, given.experiments, given.resamples))
            held = {name: one["held"] for name, one in by_patient[-1].items() if isinstance(one, dict)}
            print(f"{patients} patients, classes {mix}: {held}", flush=True)
    about = {"experiments": given.experiments, "resamples": given.resamples} | described()
    write_json(given.out, about | {"coverage": rows, "coverage_by_patient": by_patient})


if __name__ == "__main__":
    main()
