"""How often differences between subgroups are found where there are none, and how often intervals hold them.

python benchmarks/subgroups.py

Writes benchmarks/results/subgroups.json. Patients have several images each; what a model sees is the class, a
part that all images of the patient share, and one of the image's own, each normal, so that its mistakes come
by patient. A third of the patients (or of the images, where patients straddle) are the subgroup. In half of
the settings the model sees the subgroup's classes less well; the true difference is measured on a million
images. Tests at 5% should find a difference in 5 of 100 where there is none; intervals of 95% should hold
the true one in 95 of 100. One thread.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.special import expit

from common import described
from hemf.calibration.record import UNCALIBRATED
from hemf.core.files import write_json
from hemf.evaluation.subgroups.differences import Part, differences, values_of
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, units_of

SIGNAL, WORSE, BY_PATIENT, SHARE = 1.5, 0.7, 0.8, 1 / 3
NAMES = ("accuracy", "roc_auc_macro", "sensitivity of yes", "overconfidence")


def made(
    rng: np.random.Generator, patients: int, images: int, worse: float, straddle: bool
) -> tuple[Predictions, np.ndarray]:
    """Predictions of ``images`` of each patient, and which of them are the subgroup's."""
    n = patients * images
    labels = np.repeat(rng.integers(0, 2, patients), images)
    inside = rng.random(n) < SHARE if straddle else np.repeat(rng.random(patients) < SHARE, images)
    whose = np.repeat(rng.normal(size=patients), images)
    errors = np.sqrt(BY_PATIENT) * whose + np.sqrt(1 - BY_PATIENT) * rng.normal(size=n)
    signal = np.where(inside, SIGNAL - worse, SIGNAL)
    p = expit(SIGNAL * (signal * (labels - 0.5) + errors))
    groups = [f"p{i // images}" for i in range(n)]
    return Predictions([""] * n, labels, np.stack([1 - p, p], 1), groups, ["no", "yes"]), inside


def truth(images: int, worse: float) -> dict[str, float]:
    """The differences on a million images, all of other patients."""
    found, inside = made(np.random.default_rng(1), 1_000_000 // images, images, worse, False)
    once = np.ones((len(inside), 1))
    here, there = (Part(found, UNCALIBRATED, part).on(once) for part in (inside, ~inside))
    return {name: float(here[name][0] - there[name][0]) for name in NAMES}


def measured(
    patients: int, images: int, worse: float, straddle: bool, experiments: int, true: dict[str, float]
) -> dict[str, object]:
    """How often each difference is found, and held by its interval."""
    rng = np.random.default_rng([patients, images, int(straddle), round(10 * worse)])
    found_it, held, given = (dict.fromkeys(NAMES, 0) for _ in range(3))
    for seed in range(experiments):
        found, inside = made(rng, patients, images, worse, straddle)
        parts = [Part(found, UNCALIBRATED, part) for part in (inside, ~inside)]
        here, there = values_of(parts, units_of(found.labels, found.groups), Draws(200, seed))
        for one in differences("", "", None, here, there, NAMES):
            if one.ci95 is not None and one.p is not None:
                given[one.measure] += 1
                found_it[one.measure] += one.p < 0.05
                held[one.measure] += one.ci95[0] <= true[one.measure] <= one.ci95[1]
    about = {"patients": patients, "images_each": images, "patients_straddle": straddle, "worse": worse}
    rates = {
        name: {"given": given[name] / experiments, "true_difference": true[name]}
        | {"found_at_5_percent": found_it[name] / max(1, given[name])}
        | {"held_by_95_percent": held[name] / max(1, given[name])}
        for name in NAMES
    }
    return about | {"measures": rates}


def main() -> None:
    """Read the command line, measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/subgroups.json"))
    arguments = parser.parse_args()
    settings = [(30, 5), (60, 5), (200, 5), (300, 1)]
    true = {worse: truth(5, worse) for worse in (0.0, WORSE)}
    rows = [
        measured(patients, images, worse, straddle, arguments.experiments, true[worse])
        for patients, images in settings
        for worse in (0.0, WORSE)
        for straddle in (False, True)[: 1 + (images > 1)]
    ]
    about = {"experiments": arguments.experiments, "signal": SIGNAL, "share_by_patient": BY_PATIENT}
    write_json(arguments.out, described() | about | {"resamples": 200, "rows": rows})


if __name__ == "__main__":
    main()
