"""The interval of the calibration error: around its estimate, and around the truth as often as it says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import of_logits

from hemf.calibration.record import UNCALIBRATED, Calibration, OperatingPoint, PredictionSets
from hemf.metrics.bootstrap import Draws
from hemf.metrics.calibration import confidence_metrics, confidence_report
from hemf.metrics.calibration_intervals import with_confidence_intervals
from hemf.metrics.classification import classification_metrics
from hemf.metrics.intervals import with_intervals


def drawn(n: int, k: int, too_sure: float, seed: int) -> tuple[np.ndarray, torch.Tensor]:
    """Labels from the softmax of logits, and those logits times ``too_sure``."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(1.5 * rng.normal(size=(n, k)))
    chances = logits.softmax(1).numpy().cumsum(1)
    return (chances < rng.random((n, 1))).sum(1).clip(0, k - 1), too_sure * logits


def error_of(
    labels: np.ndarray, logits: torch.Tensor, groups: list[str] | None = None, seed: int = 0
) -> dict:
    predictions = of_logits(labels, logits, groups=groups)
    report = confidence_report(predictions, UNCALIBRATED)
    return with_confidence_intervals(report, predictions, Draws(200))["calibration"]["ece"]


@pytest.mark.parametrize(("n", "too_sure"), [(50, 1.0), (200, 1.0), (200, 1.5), (200, 3.0)])
def test_it_holds_the_true_error_about_as_often_as_it_says(n: int, too_sure: float) -> None:
    """The plain quantiles of the resamples hold that of a calibrated model never."""
    labels, logits = drawn(300_000, 2, too_sure, 1)
    true = confidence_metrics(labels, logits.softmax(1).numpy())["ece"]["value"]
    found = [error_of(*drawn(n, 2, too_sure, seed)) for seed in range(2, 62)]
    assert all(one["ci95"][0] <= one["value"] <= one["ci95"][1] for one in found)
    assert np.mean([one["ci95"][0] <= true <= one["ci95"][1] for one in found]) >= 0.85


def test_a_model_that_is_clearly_too_sure_is_not_excused() -> None:
    found = error_of(*drawn(1000, 2, 4.0, 0))
    assert found["interval"] == "bias-corrected bootstrap"
    assert found["ci95"][0] > 0.05
    assert np.ptp(found["ci95"]) < 0.1


def test_few_images_and_few_patients_have_none() -> None:
    labels, logits = drawn(40, 3, 1.0, 0)
    few = error_of(labels[:19], logits[:19])
    assert "ci95" not in few
    assert few["no_interval"] == "19 images are too few, 20 are needed"
    one = error_of(labels, logits, ["p"] * 40)
    assert one["no_interval"] == "1 patient or lesion is too few, 20 are needed"


@settings(max_examples=60)
@given(
    n=st.integers(1, 40),
    k=st.integers(2, 4),
    present=st.integers(1, 4),
    sure=st.sampled_from([0.0, 0.3, 3.0, 50.0]),
    share=st.sampled_from([0, 1, 3]),
    seed=st.integers(0, 2**16),
)
def test_every_interval_holds_its_estimate_or_there_is_a_reason(n, k, present, sure, share, seed) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, min(k, present), n)
    logits = torch.from_numpy(sure * rng.normal(size=(n, k)))
    groups = [f"p{i // share}" for i in range(n)] if share else None
    classes = [str(i) for i in range(k)]
    points = (
        OperatingPoint("0", "sensitivity", 0.9, 0.4, 9),
        OperatingPoint("1", "specificity", 0.9, 0.4, 9),
    )
    own = Calibration(1.7, PredictionSets(0.8, 0.7, 50), points, {"split": "val"})
    found, draws = of_logits(labels, logits, own, groups, classes), Draws(60, seed)
    report = classification_metrics(labels, found.probabilities, classes) | confidence_report(found, own)
    report = with_confidence_intervals(with_intervals(report, found, draws), found, draws, own)
    measures = list(measures_in(report))
    assert len(measures) > 30
    for one in measures:
        if one["value"] is None:
            assert one["reason"]
        elif "ci95" in one:
            low, high = one["ci95"]
            assert low <= one["value"] + 1e-12
            assert one["value"] <= high + 1e-12
            assert one["interval"]
        else:
            assert one["no_interval"]


def measures_in(found):
    if isinstance(found, dict):
        if "value" in found and "n" in found:
            yield found
        for one in found.values():
            yield from measures_in(one)
    elif isinstance(found, list):
        for one in found:
            yield from measures_in(one)
