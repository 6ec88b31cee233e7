"""Calibration error, Brier score and bins against other implementations and by hand."""

import numpy as np
import pytest
import torch
from recorded import of_logits
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from hemf.calibration.record import Calibration, OperatingPoint, PredictionSets
from hemf.metrics.calibration import (
    confidence_metrics,
    confidence_report,
    reliability_bins,
    shares_images,
)


def case(k: int, n: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(k)
    return rng.integers(0, k, n), rng.dirichlet(np.full(k, 0.4), n)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_calibration_error_is_that_of_torchmetrics(k: int) -> None:
    labels, probabilities = case(k)
    theirs = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=k, n_bins=15, norm="l1"
    )
    assert confidence_metrics(labels, probabilities)["ece"] == {
        "value": pytest.approx(theirs.item(), abs=1e-6),
        "n": 500,
    }


@pytest.mark.parametrize("k", [2, 3, 10])
def test_brier_score_and_log_loss_are_what_they_say(k: int) -> None:
    labels, probabilities = case(k)
    found = confidence_metrics(labels, probabilities)
    squares = ((probabilities - np.eye(k)[labels]) ** 2).sum(1).mean()
    assert found["brier"]["value"] == pytest.approx(squares / 2 if k == 2 else squares)
    assert found["log_loss"]["value"] == pytest.approx(log_loss(labels, probabilities))


def test_bins_by_hand() -> None:
    confidence = np.array([0.5, 0.6, 0.6, 0.9, 1.0])
    probabilities = np.stack([confidence, 1 - confidence], 1)
    bins = reliability_bins(np.array([0, 0, 1, 0, 1]), probabilities, number=5)
    assert [one["n"] for one in bins] == [0, 0, 3, 0, 2]
    assert bins[2]["confidence"] == pytest.approx(1.7 / 3)
    assert bins[2]["accuracy"] == pytest.approx(2 / 3)
    assert bins[4]["accuracy"] == 0.5
    assert bins[0] == {"low": 0.0, "high": 0.2, "n": 0, "confidence": None, "accuracy": None}


def test_a_class_that_is_absent_is_no_hindrance() -> None:
    found = confidence_metrics(np.zeros(4, int), np.full((4, 3), 1 / 3))
    assert found["ece"]["value"] == pytest.approx(2 / 3)
    assert found["brier"]["value"] == pytest.approx(2 / 3)


def test_report_shows_what_the_model_has() -> None:
    labels, probabilities = case(3)
    logits = torch.from_numpy(np.log(probabilities)).float()
    plain = confidence_report(of_logits(labels, logits), Calibration())
    assert set(plain) == {"calibration", "decision_curves"}
    assert plain["calibration"]["temperature"] is None
    assert plain["calibration"]["uncalibrated"] is None

    own = Calibration(
        2.0,
        PredictionSets(0.9, 0.8, 50),
        (OperatingPoint("b", "sensitivity", 0.9, 0.3, 20),),
        {"split": "val"},
    )
    report = confidence_report(of_logits(labels, logits, own, classes="abc"), own)
    calibrated = own.of_images(logits)
    np.testing.assert_allclose(calibrated, (logits.double() / 2).softmax(1).numpy())
    assert report["calibration"]["ece"] == confidence_metrics(labels, calibrated)["ece"]
    for name in ("ece", "brier", "log_loss"):
        assert report["calibration"]["uncalibrated"][name] == plain["calibration"][name]
    assert sum(one["n"] for one in report["calibration"]["bins"]) == 500
    conformal = report["conformal"]
    assert conformal["target"] == 0.9
    assert conformal["coverage"]["value"] == (1 - calibrated[np.arange(500), labels] <= 0.8).mean()
    (point,) = report["operating_points"]
    assert (point["class"], point["at"], point["chosen_on"]) == ("b", 0.9, "val")


def test_knows_the_images_it_was_fitted_on() -> None:
    own = Calibration(fitted_on={"data_hash": "h", "split": "val"})
    assert shares_images(own, "h", "val")
    assert shares_images(own, "h", "all")
    assert not shares_images(own, "h", "test")
    assert not shares_images(own, "other", "val")
    assert not shares_images(Calibration(), "h", "val")
