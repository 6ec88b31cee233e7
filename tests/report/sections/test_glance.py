"""The first lines of a report: what is read aloud, and that each verdict turns where the numbers do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemf.metrics.classification import classification_metrics
from hemf.metrics.wording import hundred_cell, of_hundred
from hemf.report.material import Material
from hemf.report.sections.glance import lead, localised, verdicts
from hemf.report.sections.promises import promises_of
from hemf.report.worst_mistakes import Mistake


def report_of(k: int = 2, **more: Any) -> dict[str, Any]:
    labels = np.arange(20 * k) % k
    probabilities = np.eye(k)[labels] * 0.6 + 0.4 / k
    probabilities[:5] = np.roll(probabilities[:5], 1, axis=1)  # five are wrong
    report = classification_metrics(labels, probabilities, [f"c{i}" for i in range(k)])
    known = {
        "groups_on_two_sides": 0,
        "images_of_those_groups": 0,
        "images_trained_on": 0,
        "chose_checkpoint": False,
    }
    about = {"split": "test", "split_method": "grouped", "data": {"name": "d", "hash": "0", "own": True}}
    return report | known | about | more


def verdict(report: dict[str, Any], subject: str, folder: Path = Path(), **more: Any):
    found = {one.subject: one for one in verdicts(Material(report, folder, **more))}
    return found.get(subject)


def test_of_two_classes_one_sentence_says_it_all() -> None:
    lines = lead(report_of(2))
    assert len(lines) == 2
    assert lines[0].startswith("Of 100 such images it classifies 88 (")
    assert lines[1].startswith("Of 100 images of c0 it finds 85 (")
    assert "; of 100 of c1 it calls 10 (" in lines[1]


def test_of_many_classes_the_best_and_the_worst_are_read() -> None:
    lines = lead(report_of(5))
    assert [line.split(":")[0] for line in lines[1:]] == ["Found most often", "Found least often"]


@pytest.mark.parametrize(
    ("share", "ends", "said", "others", "cell"),
    [
        (0.854, [0.79, 0.901], "85 (79 to 90)", "15 (10 to 21)", "85 [79, 90]"),
        (0.999, [0.99, 1.0], "> 99 (99 to 100)", "< 1 (0 to 1)", "> 99 [99, 100]"),
        (1.0, None, "100", "0", "100"),
    ],
)
def test_only_none_is_0_and_only_all_is_100(share, ends, said, others, cell) -> None:
    measure = {"value": share, "ci95": ends}
    assert (of_hundred(measure), of_hundred(measure, others=True), hundred_cell(measure)) == (
        said,
        others,
        cell,
    )
    assert of_hundred({"value": None}) is None


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({}, "good", "trained on none of these images"),
        ({"images_trained_on": 3}, "bad", "3 of 40 images were trained on"),
        ({"groups_on_two_sides": 2, "images_of_those_groups": 7}, "bad", "7 of 40 images show patients"),
        ({"chose_checkpoint": True}, "bad", "These images chose the checkpoint"),
        ({"fitted_calibration": True}, "bad", "These images fitted the calibration"),
        ({"images_trained_on": None}, "unknown", "its run is not at hand"),
        ({"groups_on_two_sides": None}, "unknown", "is unknown"),
    ],
)
def test_leakage(changes: dict, status: str, says: str) -> None:
    found = verdict(report_of(**changes), "Leakage")
    assert found.status == status
    assert says in found.words


@pytest.mark.parametrize(("error", "status"), [(0.03, "good"), (0.08, "caution"), (0.2, "bad")])
def test_calibration_says_on_which_side_it_is_off(error: float, status: str) -> None:
    bins = [{"n": 10, "confidence": 0.9, "accuracy": 0.7}, {"n": 0, "confidence": None, "accuracy": None}]
    found = verdict(report_of(calibration={"ece": {"value": error}, "bins": bins}), "Calibration")
    assert found.status == status
    assert f"off by {100 * error:.0f} points" in found.words
    assert ("too sure of itself" in found.words) == (status != "good")


def test_size_names_the_smallest_class_and_how_closely_it_is_known() -> None:
    report = report_of()
    found = verdict(report, "Size")
    assert found.status == "caution"  # ten points of accuracy either way
    assert "40 images: accuracy is known to ±" in found.words
    for one in (report["metrics"]["accuracy"], *(of["recall"] for of in report["per_class"].values())):
        one["ci95"] = [one["value"] - 0.02, one["value"] + 0.02]
    assert verdict(report, "Size").status == "good"


@pytest.mark.parametrize(
    ("ends", "fate", "status"),
    [
        ([0.7, 0.85], "missed", "bad"),
        ([0.8, 0.95], "kept", "good"),
        ([0.92, 0.99], "exceeded", "good"),
        (None, "", "good"),
    ],
)
def test_a_promise_is_missed_where_the_interval_excludes_it(ends, fate: str, status: str) -> None:
    report = report_of(conformal={"target": 0.9, "coverage": {"value": 0.8, "n": 40, "ci95": ends}})
    (promise,) = promises_of(report)
    assert promise.fate == fate
    assert verdict(report, "Promises").status == status
    assert verdict(report_of(), "Promises") is None


def test_heat_maps_are_judged_only_where_there_are_some_and_never_called_good(tmp_path: Path) -> None:
    heated = Mistake("x.png", "c0", "c1", 0.9, 0.1, "data:", "data:", (3, 3))
    assert verdict(report_of(), "Heat maps", tmp_path, mistakes=[]) is None
    assert verdict(report_of(), "Heat maps", tmp_path, mistakes=[heated]).status == "unknown"
    (tmp_path / "localisation.json").write_text('{"inside_masks": null}')
    assert verdict(report_of(), "Heat maps", tmp_path, mistakes=[heated]).status == "caution"


def test_what_localise_found_is_said_with_its_interval_and_the_even_map() -> None:
    energy = {"value": 0.456, "ci95": [0.41, 0.5]}
    inside = {"n": 1200, "even": {"energy": {"value": 0.2}}, "layers": {"last": {"energy": energy}}}
    said = localised({"layer": "last", "inside_masks": inside})
    assert said == "0.46 (0.41 to 0.50) of the heat lies inside the lesion, of an even map 0.20 (n = 1,200)."
    assert "not one of hemf's" in localised({"layer": "other", "inside_masks": inside})
    assert "not one of hemf's" in localised({"layer": "last", "inside_masks": {"layers": []}})
