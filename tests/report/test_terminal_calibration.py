"""Calibration in words: what is there is shown with its n, what is not is not mentioned."""

import numpy as np
import torch
from recorded import of_logits
from rich.console import Console

from hemf.calibration.record import UNCALIBRATED, Calibration, OperatingPoint, PredictionSets
from hemf.metrics.calibration import confidence_report
from hemf.report.terminal import show_calibration

LOGITS, LABELS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.3, 0.0], [3.0, 0.0]]), np.array([0, 1, 1, 0])


def shown(own: Calibration) -> list[str]:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show_calibration(
        console, confidence_report(of_logits(LABELS, LOGITS, own, classes=["a", "[b]\x1b"]), own)
    )
    return [" ".join(line.split()) for line in console.export_text().splitlines() if line.strip()]


def test_a_model_without_calibration_shows_its_confidence_only() -> None:
    lines = shown(UNCALIBRATED)
    assert lines[0] == "confidence value n"
    assert [line.rsplit(maxsplit=2)[0] for line in lines[2:]] == [
        *("expected calibration error", "Brier score", "log-loss")
    ]


def test_everything_with_intervals_and_n() -> None:
    points = (
        OperatingPoint("[b]\x1b", "sensitivity", 0.95, 0.4, 20),
        OperatingPoint("a", "specificity", 0.5, 2.0, 30),
    )
    own = Calibration(2.0, PredictionSets(0.75, 0.5, 10), points, left_out=("no threshold for c",))
    lines = shown(own)
    text = " ".join(lines)
    assert lines[0] == "confidence as trained at temperature 2.000 n"
    assert "coverage of 0.75 hold the true class in 0.750 [0.301, 0.954] of 4 images" in text
    assert "its accuracy is 0.750 [0.301, 0.954] (n = 4)" in text
    assert "[b]\N{REPLACEMENT CHARACTER} 2 0.4 sens. 0.95 1.000 1.000 1.000 1.000" in lines
    assert "0.342–1.000 0.342–1.000 [0.342–1.000] 0.342–1.000" in lines
    assert "never" in text
    assert lines[-1] == "no threshold for c"
