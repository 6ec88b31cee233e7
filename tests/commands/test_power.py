"""``hemf power`` against formulas for independent images, and its refusals."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import hemf
from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.data.dataset import DataSet, Sample
from hemf.data.manifest import write_data_set
from hemf.inference.predictions import Predictions, write_predictions
from hemf.metrics.classification import classification_metrics


def evaluated(run: Path, right: np.ndarray, images: int = 1) -> str:
    """A run that has some images right, ``images`` of each patient, half of them of each class."""
    n = len(right)
    labels = np.arange(n) // images % 2
    p = np.where((labels ^ ~right)[:, None] == [0, 1], 0.9, 0.1)
    groups = [f"p{i // images}" if images > 1 else "" for i in range(n)]
    samples = [Sample(f"{i}.png", "ab"[labels[i]], groups[i], "test") for i in range(n)]
    (run / "evaluation" / "test").mkdir(parents=True)
    write_data_set(DataSet("made", list("ab"), samples, run), run)
    found = Predictions([s.path for s in samples], labels, p, groups, list("ab"))
    write_predictions(run / "evaluation" / "test" / "predictions.csv", found)
    report = classification_metrics(labels, p, list("ab")) | {"data": {"name": "made"}}
    write_json(run / "evaluation" / "test" / "metrics.json", report)
    return str(run)


def test_the_width_of_an_interval_of_independent_images(tmp_path, capsys):
    run = evaluated(tmp_path / "run", np.arange(400) % 10 < 8)
    plan = hemf.power(run, metric="accuracy", width=0.1)
    assert plan.needed.units == pytest.approx(0.8 * 0.2 * (2 * 1.96 / 0.1) ** 2, rel=0.1)
    assert plan.needed.images == plan.needed.units
    assert [one.units for one in plan.studies] == sorted(one.units for one in plan.studies)
    assert "are needed" in capsys.readouterr().out


def test_images_that_are_alike_count_as_their_patient(tmp_path):
    run = evaluated(tmp_path / "run", np.repeat(np.arange(200) % 10 < 8, 4), images=4)
    plan = hemf.power(run, metric="accuracy", width=0.1)
    assert plan.needed.units == pytest.approx(0.8 * 0.2 * (2 * 1.96 / 0.1) ** 2, rel=0.1)
    assert plan.needed.images == 4 * plan.needed.units


def test_the_power_of_a_paired_comparison(tmp_path):
    rng = np.random.default_rng(0)
    first, second = rng.random(400) < 0.8, rng.random(400) < 0.8
    runs = [evaluated(tmp_path / name, right) for name, right in (("a", first), ("b", second))]
    plan = hemf.power(*runs, metric="accuracy", difference=0.1, reach=0.9)
    spread = np.std(first.astype(float) - second)
    expected = (spread * (stats.norm.ppf(0.975) + stats.norm.ppf(0.9)) / 0.1) ** 2
    assert plan.needed.units == pytest.approx(expected, rel=0.15)
    assert plan.needed.power >= 0.9


def test_what_cannot_be_planned_is_refused(tmp_path):
    run = evaluated(tmp_path / "run", np.arange(40) % 10 < 8)
    few = evaluated(tmp_path / "few", np.arange(8) % 4 < 3)
    for given, message in (
        ({}, "give --width for one run"),
        ({"width": 0.0}, "a width is above 0"),
        ({"width": 0.1, "metric": "auc"}, "no metric 'auc'"),
    ):
        with pytest.raises(HemfError, match=message):
            hemf.power(run, **given)
    with pytest.raises(HemfError, match="the pilot has only 8 images"):
        hemf.power(few, metric="accuracy", width=0.1)
    with pytest.raises(HemfError, match="not even 1,000,000 images would reach it"):
        hemf.power(run, metric="accuracy", width=1e-6)
