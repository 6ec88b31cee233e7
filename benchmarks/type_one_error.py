"""How often two models that are alike are said to differ, where several images show one patient.

python benchmarks/type_one_error.py

Writes benchmarks/results/type-one-error.json. What a model sees in an image is the class, a part that all
images of the patient share, and one of the image's own, each normal; the second model is as good as the
first, and half of the variance of what they err by is common to both. A test at 5% should find a difference
in 5 of 100. ``hemf compare``'s bootstrap, which takes longer, is tried less often. One thread.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.special import expit

from common import described
from hemf.core.files import write_json
from hemf.metrics.bootstrap import Draws, Units, resample, units_of
from hemf.metrics.comparison.delong import delong
from hemf.metrics.comparison.mcnemar import mcnemar_test
from hemf.metrics.comparison.paired import Measured, difference
from hemf.metrics.resampled import WeightedMeasures, on_resamples

BOOTSTRAPPED, RESAMPLES = ("accuracy", "roc_auc_macro"), 500
SIGNAL, BY_PATIENT = 1.0, 0.8
"""Distance of the classes in standard deviations; share of the rest's variance that is the patient's."""
TESTS = tuple(f"{test}_by_{unit}" for test in ("delong", "mcnemar") for unit in ("image", "patient"))


def scores(rng: np.random.Generator, patients: int, images: int, labels: np.ndarray) -> list[np.ndarray]:
    """Two models' probabilities, N x 2 each, of ``images`` of each patient, one patient after the other."""

    def errors() -> np.ndarray:
        whose = np.repeat(rng.normal(size=patients), images)
        return np.sqrt(BY_PATIENT) * whose + np.sqrt(1 - BY_PATIENT) * rng.normal(size=len(labels))

    common, found = errors(), []
    for _ in range(2):
        p = expit(SIGNAL * (labels - 0.5) + (common + errors()) / np.sqrt(2))
        found.append(np.stack([1 - p, p], 1))
    return found


def rejected(patients: int, images: int, mixed: bool, experiments: int) -> dict[str, float | int | bool]:
    """Share of experiments in which each test finds a difference, images taken as independent and not."""
    rng, count = np.random.default_rng(patients * images), dict.fromkeys(TESTS, 0)
    groups = [f"p{i // images}" for i in range(patients * images)]
    for _ in range(experiments):
        of_patients = np.repeat(np.arange(patients) % 2, images)
        labels = rng.permutation(of_patients) if mixed else of_patients
        first, second = scores(rng, patients, images, labels)
        right = [one.argmax(1) == labels for one in (first, second)]
        for by, units in (("image", None), ("patient", units_of(labels, groups))):
            p = {"delong": _delong(labels, first, second, units), "mcnemar": mcnemar_test(*right, units)["p"]}
            for name, value in p.items():
                count[f"{name}_by_{by}"] += value < 0.05
    about = {"patients": patients, "images_each": images, "classes_mix_in_patients": mixed}
    return about | {name: number / experiments for name, number in count.items()}


def _delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray, units: Units | None) -> float:
    p = delong(labels, first, second, units)[1]["p"]
    assert p is not None, "both classes have images of several patients"
    return p


def bootstrapped(patients: int, images: int, mixed: bool, experiments: int) -> dict[str, float]:
    """Share of experiments in which the paired bootstrap by patient finds a difference in a measure."""
    rng, p = np.random.default_rng(patients * images), []
    groups = [f"p{i // images}" for i in range(patients * images)]
    for seed in range(experiments):
        of_patients = np.repeat(np.arange(patients) % 2, images)
        labels = rng.permutation(of_patients) if mixed else of_patients
        units, every = units_of(labels, groups), np.ones((len(labels), 1))
        of_models = []
        for one in scores(rng, patients, images, labels):
            measures = WeightedMeasures(labels, one)
            drawn = on_resamples(measures, resample(units, Draws(RESAMPLES, seed)))[0]
            value = measures.of_split(every)
            of_models.append({m: Measured([float(value[m][0])], drawn[m]) for m in BOOTSTRAPPED})
        a, b = of_models
        p.append([difference(a[m], b[m], units, None, m)["p"] for m in BOOTSTRAPPED])
    rates = (np.array(p, float) < 0.05).mean(0)
    return {f"bootstrap_of_{m}_by_patient": float(rate) for m, rate in zip(BOOTSTRAPPED, rates, strict=True)}


def main() -> None:
    """Read the command line, measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/type-one-error.json"))
    arguments = parser.parse_args()
    settings = [(10, 5), (20, 5), (60, 5), (200, 5), (300, 1)]
    rows = [
        rejected(patients, images, mixed, arguments.experiments)
        | bootstrapped(patients, images, mixed, arguments.experiments // 16)
        for patients, images in settings
        for mixed in (False, True)[: 1 + (images > 1)]
    ]
    about = {"experiments": arguments.experiments, "signal": SIGNAL, "share_by_patient": BY_PATIENT}
    write_json(arguments.out, described() | about | {"rejected_at_5_percent": rows})


if __name__ == "__main__":
    main()
