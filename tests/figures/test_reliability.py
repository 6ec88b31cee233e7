"""The reliability diagram: what it shows, and that it is reproducible."""

import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import torch
from recorded import of_logits

from hemf.calibration.record import Calibration
from hemf.figures.classification import save_figure
from hemf.figures.reliability import reliability_figure
from hemf.metrics.calibration import confidence_report


def report(temperature: float | None, n: int = 400) -> dict:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(n, 4))).float()
    labels = rng.multinomial(1, logits.double().softmax(1).numpy()).argmax(1)
    own = Calibration(temperature)
    return confidence_report(of_logits(labels, 3 * logits, own), own)["calibration"]


def texts(svg: Path) -> list[str]:
    return [" ".join("".join(e.itertext()).split()) for e in ET.parse(svg).iter() if e.tag.endswith("}text")]


def test_shows_both_errors_and_the_images_of_each_bin(tmp_path: Path) -> None:
    found = report(3.0)
    svg, png = save_figure(reliability_figure(found, "<b>$^{ test, n = 400"), tmp_path / "reliability")
    words = texts(svg)
    assert "<b>$^{ test, n = 400" in words
    assert f"calibrated: calibration error {found['ece']['value']:.3f}" in words
    assert f"as trained: calibration error {found['uncalibrated']['ece']['value']:.3f}" in words
    assert {str(one["n"]) for one in found["bins"] if one["n"]} <= set(words)
    assert png.stat().st_size > 10_000


def test_a_model_without_a_temperature_and_a_single_image(tmp_path: Path) -> None:
    found = report(None, n=1)
    words = texts(save_figure(reliability_figure(found), tmp_path / "reliability")[0])
    assert f"the model: calibration error {found['ece']['value']:.3f}" in words


def test_the_same_numbers_give_the_same_file_whatever_the_users_style(tmp_path: Path) -> None:
    files = []
    for style in ({}, {"font.size": 30, "svg.fonttype": "path"}):
        with matplotlib.rc_context(style):
            files.append(save_figure(reliability_figure(report(2.0)), tmp_path / f"r{len(files)}")[0])
    assert files[0].read_bytes() == files[1].read_bytes()
