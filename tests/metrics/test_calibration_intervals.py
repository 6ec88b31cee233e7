"""Intervals of calibration, prediction sets and thresholds against measuring every resample anew."""

import numpy as np
import pytest
import torch
from recorded import of_logits

from hemf.calibration.record import Calibration, OperatingPoint, PredictionSets
from hemf.metrics.bootstrap import Draws, resample, tails, units_of
from hemf.metrics.calibration import confidence_report
from hemf.metrics.calibration_intervals import with_confidence_intervals

CLASSES = list("abc")
OWN = Calibration(
    1.5,
    PredictionSets(0.8, 0.7, 50),
    (OperatingPoint("b", "sensitivity", 0.9, 0.3, 20),),
    {"split": "val"},
)
PATIENTS = [f"p{i // 3}" for i in range(60)]
MEASURES = [
    *(("calibration", name) for name in ("ece", "brier", "log_loss")),
    *(("calibration", "uncalibrated", name) for name in ("ece", "brier", "log_loss")),
    *(("conformal", name) for name in ("coverage", "mean_size", "abstained", "accuracy_answered")),
    *(("conformal", "per_class", "b", name) for name in ("coverage", "mean_size")),
    *(("operating_points", 0, name) for name in ("sensitivity", "specificity", "ppv", "npv")),
]


def case() -> tuple[np.ndarray, torch.Tensor]:
    rng = np.random.default_rng(1)
    labels = np.tile([0, 1, 2], 20)  # every patient has an image of every class
    return labels, torch.from_numpy(2 * rng.normal(size=(60, 3)) + 1.5 * np.eye(3)[labels]).float()


def report_of(labels: np.ndarray, logits: torch.Tensor) -> dict:
    return confidence_report(of_logits(labels, logits, OWN, classes=CLASSES), OWN)


def with_intervals(groups: list[str] | None, resamples: int) -> tuple[dict, dict]:
    labels, logits = case()
    plain = report_of(labels, logits)
    predictions = of_logits(labels, logits, OWN, groups, CLASSES)
    return plain, with_confidence_intervals(plain, predictions, Draws(resamples, 3), OWN)


def at(report: dict, path: tuple) -> dict:
    for key in path:
        report = report[key]
    return report


def test_with_patients_they_are_the_quantiles_over_patients_drawn_anew() -> None:
    labels, logits = case()
    _, found = with_intervals(PATIENTS, 40)
    units = units_of(labels, PATIENTS)
    (weights,) = resample(units, Draws(40, 3))
    times = np.rint(weights * 19 / 20).astype(int)  # of 20 patients 19 are drawn, and count 20 / 19 times
    drawn = [np.repeat(np.arange(60), one) for one in times.T]
    p = of_logits(labels, logits, OWN).probabilities
    called, answered = p[:, 1] >= 0.3, OWN.sets.hold(p).sum(1) == 1
    among = {"ppv": called, "npv": ~called, "accuracy_answered": answered}
    again = [report_of(labels[rows], logits[rows]) for rows in drawn]
    for path in MEASURES:
        if path[-1] == "ece":
            continue
        values = [at(one, path)["value"] for one in again]
        assert at(found, path)["interval"] == "bootstrap", path
        ends = np.quantile(values, tails(units.freedom(among.get(path[-1], labels >= 0))))
        assert at(found, path)["ci95"] == pytest.approx(ends, abs=1e-5), path


def test_shares_of_independent_images_keep_wilsons() -> None:
    plain, found = with_intervals(None, 40)
    for path in MEASURES:
        proportion = "ci95" in at(plain, path)
        kind = "bias-corrected bootstrap" if path[-1] == "ece" else "bootstrap"
        assert at(found, path)["interval"] == ("wilson" if proportion else kind)
        if proportion:
            assert at(found, path)["ci95"] == at(plain, path)["ci95"]


def test_without_resamples_nothing_changes() -> None:
    plain, found = with_intervals(PATIENTS, 0)
    assert found == plain
