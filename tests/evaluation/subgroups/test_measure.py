"""Subgroups are measured as whole splits are, and differences are found where they were planted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

import hemf
from hemf.calibration.record import UNCALIBRATED, Calibration, PredictionSets
from hemf.core.errors import HemfError
from hemf.data.manifest import read_data_set, write_data_set
from hemf.evaluation.subgroups.differences import Part, differences, values_of
from hemf.evaluation.subgroups.measure import measure_subgroups
from hemf.evaluation.subgroups.partition import Cut
from hemf.evaluation.subgroups.record import Subgroups
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws, units_of
from hemf.metrics.classification import classification_metrics

N = 400
SETS = Calibration(sets=PredictionSets(0.9, 0.7, 100))


def made(worse: float, classes: int = 3, seed: int = 0) -> Predictions:
    """N images, four a patient; the images of women are classified wrongly more often by ``worse``."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, N)
    sex = np.repeat(np.array(["f", "m"])[rng.integers(0, 2, N // 4)], 4)
    wrong = rng.random(N) < np.where(sex == "f", 0.2 + worse, 0.2)
    decided = np.where(wrong, (labels + 1) % classes, labels)
    probabilities = np.full((N, classes), 0.3 / (classes - 1))
    probabilities[np.arange(N), decided] = 0.7
    probabilities += rng.random((N, classes)) * 1e-3
    return Predictions(
        [f"{i}.png" for i in range(N)],
        labels,
        probabilities / probabilities.sum(1, keepdims=True),
        [f"p{i // 4}" for i in range(N)],
        list("abc")[:classes],
        metadata={"sex": sex.tolist(), "age": [str(20 + i % 50) if i else "" for i in range(N)]},
    )


def measured(found: Predictions, *columns: str, **more: int) -> Subgroups:
    return measure_subgroups(found, SETS, [Cut(name) for name in columns], {}, Draws(200), **more)


def test_each_subgroup_has_the_measures_of_its_own_images() -> None:
    found = made(0.2)
    result = measured(found, "sex", "age")
    assert [g.value for g in result.of_column("age")][-1] == "missing"
    assert sum(g.n for g in result.of_column("age")) == sum(g.n for g in result.of_column("sex")) == N
    for group in result.of_column("sex"):
        here = np.array(found.metadata["sex"]) == group.value
        alone = classification_metrics(found.labels[here], found.probabilities[here], found.classes)
        assert group.n == alone["n"]
        assert group.units == group.n // 4
        for name in ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_macro"):
            assert group.measures[name]["value"] == alone["metrics"][name]["value"]
        assert group.measures["sensitivity of a"]["value"] == alone["per_class"]["a"]["recall"]["value"]
        confidence = found.probabilities[here].max(1).mean()
        over = group.measures["overconfidence"]
        assert over["value"] == pytest.approx(confidence - alone["metrics"]["accuracy"]["value"])
        assert over["ci95"][0] < over["value"] < over["ci95"][1]
        holds = found.probabilities[here, found.labels[here]] >= 0.3
        assert group.measures["coverage"]["value"] == pytest.approx(holds.mean())


def test_a_planted_difference_is_found_and_is_one_whichever_side_it_is_seen_from() -> None:
    found = made(0.25)
    result = measured(found, "sex", "age")
    of = {(one.column, one.value, one.measure): one for one in result.from_rest}
    women, men = of["sex", "f", "accuracy"], of["sex", "m", "accuracy"]
    assert women.difference == pytest.approx(-men.difference)
    assert women.ci95[0] < women.difference < women.ci95[1] < 0
    assert women.p_holm < 0.001
    assert women.p == pytest.approx(men.p)
    assert all(
        one.p_holm > 0.05 for key, one in of.items() if key[0] == "age" and key[2] == "accuracy" and one.p
    )
    (pair,) = [one for one in result.between if one.column == "sex" and one.measure == "accuracy"]
    values = [
        next(g.measures["accuracy"]["value"] for g in result.groups if g.value == v)
        for v in (pair.value, pair.other)
    ]
    assert pair.difference == pytest.approx(values[0] - values[1])
    worst = next(one for one in result.worst if (one.column, one.measure) == ("sex", "accuracy"))
    assert (worst.value, worst.lowest) == ("f", min(values))
    assert worst.mean == pytest.approx(sum(values) / 2)


def test_holms_correction_goes_over_all_subgroups_of_a_measure() -> None:
    result = measured(made(0.1), "sex", "age")
    for name in ("accuracy", "sensitivity of b", "overconfidence"):
        tests = [one for one in result.from_rest if one.measure == name and one.p is not None]
        assert len(tests) > 2
        expected = multipletests([one.p for one in tests], method="holm")[1]
        assert [one.p_holm for one in tests] == pytest.approx(expected.tolist())


def test_without_a_difference_few_are_found() -> None:
    """Of 100 data sets of 100 patients without a difference: 5 or so at p < 0.05."""
    ps = []
    for seed in range(100):
        found = made(0.0, seed=seed)
        women = np.array(found.metadata["sex"]) == "f"
        units = units_of(found.labels, found.groups)
        here, there = values_of([Part(found, SETS, one) for one in (women, ~women)], units, Draws(100))
        (one,) = differences("sex", "f", None, here, there, ["accuracy"])
        ps.append(one.p)
    assert np.mean(np.array(ps) < 0.05) <= 0.12
    assert 0.35 < np.mean(ps) < 0.65


def test_small_subgroups_are_counted_and_not_measured() -> None:
    found = made(0.0)
    sites = ["rare" if i < 36 else "few" if i < 100 else "many" for i in range(N)]
    result = measured(replace(found, metadata={"site": sites}), "site")
    groups = {g.value: g for g in result.groups}
    assert (groups["rare"].n, groups["rare"].units, groups["rare"].measures) == (36, 9, {})
    assert groups["few"].few
    assert groups["few"].measures
    assert not groups["many"].few
    assert not any("rare" in (one.value, one.other) for one in (*result.from_rest, *result.between))
    assert all(one.value != "few" for one in result.worst)
    shown = measured(replace(found, metadata={"site": sites}), "site", smallest=9)
    assert all(g.measures for g in shown.groups)


def test_averages_over_different_classes_are_not_compared() -> None:
    found = made(0.0)
    site = np.where(found.labels == 2, "x", np.where(np.arange(N) % 2, "x", "y")).tolist()
    result = measured(replace(found, metadata={"site": site}), "site")
    of = {(one.value, one.measure): one for one in result.from_rest}
    assert of["y", "balanced_accuracy"].reason == "averages over different classes"
    assert of["y", "balanced_accuracy"].p is None
    assert of["y", "accuracy"].p is not None
    assert of["x", "sensitivity of c"].reason == "undefined on one side"
    assert not any(one.measure == "balanced_accuracy" for one in result.worst)


def test_all_images_in_one_group_have_no_rest_and_without_resamples_no_tests() -> None:
    found = replace(made(0.0), metadata={"device": ["one"] * N})
    result = measure_subgroups(found, UNCALIBRATED, [Cut("device")], {}, Draws(0))
    assert len(result.groups) == 1
    assert result.from_rest == result.between == result.worst == ()
    halves = replace(found, metadata={"half": [str(i % 2) for i in range(N)]})
    bare = measure_subgroups(halves, UNCALIBRATED, [Cut("half")], {}, Draws(0))
    assert {one.reason for one in bare.from_rest} == {"no resamples"}
    assert all(one.difference is not None for one in bare.from_rest)


def test_evaluate_measures_the_columns_of_the_manifest(made_run: Path, capsys: pytest.CaptureFixture) -> None:
    plain = {"precision": "fp32", "workers": 0, "device": "cpu"}
    without = hemf.evaluate(str(made_run), **plain)
    data = read_data_set(made_run)
    told = [replace(s, metadata={"sex": "fm"[i // 3 % 2]}, group="") for i, s in enumerate(data.samples)]
    write_data_set(replace(data, samples=told), made_run)
    with pytest.raises(HemfError, match="noise has no column 'age' for --by; it has sex"):
        hemf.evaluate(str(made_run), by="age", **plain)
    capsys.readouterr()
    found = hemf.evaluate(str(made_run), by="sex", smallest=6, **plain)
    groups = found.report["subgroups"]["groups"]
    assert [(g["value"], g["n"]) for g in groups] == [("f", 6), ("m", 6)]
    assert "Subgroups by sex" in capsys.readouterr().out
    accuracy = sum(g["measures"]["accuracy"]["value"] for g in groups) / 2
    assert accuracy == pytest.approx(found.metrics["accuracy"]["value"])
    assert found.metrics["accuracy"]["value"] == without.metrics["accuracy"]["value"]
    assert "subgroups" not in without.report
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="subgroups"' in page
    assert page.count('class="plotted"') >= 2, "a forest plot has a row for each subgroup"
