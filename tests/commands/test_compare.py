"""``hemf.compare``: tests against published examples and SciPy, refusals, tables."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import hemf
from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.data.dataset import DataSet, Sample
from hemf.data.manifest import write_data_set
from hemf.inference.predictions import Predictions, write_predictions
from hemf.metrics.bootstrap import Draws
from hemf.metrics.classification import classification_metrics
from hemf.metrics.comparison.compare import compare_predictions
from hemf.metrics.comparison.mcnemar import mcnemar_test

CLASSES = ["a", "b", "c"]


def evaluated(run: Path, samples: list[Sample], probabilities: np.ndarray, classes=CLASSES, **about) -> str:
    """A run's folder with what compare reads of its evaluation."""
    folder = run / "evaluation" / "test"
    folder.mkdir(parents=True)
    write_data_set(DataSet("made", sorted(classes), samples, run), run)
    labels = np.array([classes.index(s.label) for s in samples])
    paths, groups = [s.path for s in samples], [s.group for s in samples]
    found = Predictions(paths, labels, probabilities, groups, classes)
    write_predictions(folder / "predictions.csv", found)
    report = classification_metrics(labels, probabilities, classes) | {"data": {"name": "made"}}
    write_json(folder / "metrics.json", report | about)
    return str(run)


def some(n: int = 90, groups: int | None = 30) -> list[Sample]:
    names = [f"p{i % groups}" if groups else "" for i in range(n)]
    return [Sample(f"{i}.png", CLASSES[i % 3], group, "test") for i, group in enumerate(names)]


def model(samples: list[Sample], strength: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = [CLASSES.index(s.label) for s in samples]
    p = np.exp(rng.normal(size=(len(samples), 3)) + strength * np.eye(3)[labels])
    return p / p.sum(1, keepdims=True)


@pytest.fixture
def three(tmp_path: Path) -> list[str]:
    """A poor, a good and a fair model of the same images."""
    samples = some()
    return [
        evaluated(tmp_path / name, samples, model(samples, strength, i))
        for i, (name, strength) in enumerate({"poor": 0.3, "good": 2.5, "fair": 1.0}.items())
    ]


def test_mcnemar_of_agrestis_approval_ratings():
    """Agresti 1990, page 350: 794, 150, 86 and 570; 17.36, p = 3.099e-05 (Penn State, STAT 504)."""
    first = np.repeat([True, True, False, False], [794, 150, 86, 570])
    second = np.repeat([True, False, True, False], [794, 150, 86, 570])
    found = mcnemar_test(first, second)
    assert (found["only_first_right"], found["only_second_right"]) == (150, 86)
    assert found["method"] == "chi-squared"
    assert found["p"] == pytest.approx(3.099e-05, rel=1e-3)


def test_mcnemar_is_exact_on_few_images():
    first = np.repeat([True, False, True], [7, 2, 50])
    found = mcnemar_test(first, np.repeat([False, True, True], [7, 2, 50]))
    assert found["method"] == "exact"
    assert found["p"] == pytest.approx(stats.binomtest(7, 9).pvalue)
    assert mcnemar_test(first, first)["p"] == 1


def test_the_bootstrap_is_that_of_scipy():
    labels = np.zeros(200, dtype=int)
    labels[0] = 1
    rng = np.random.default_rng(1)
    right = [rng.random(200) < share for share in (0.8, 0.7)]
    probabilities = [np.where((labels ^ ~r)[:, None] == [0, 1], 0.9, 0.1) for r in right]
    same = [
        Predictions([str(i) for i in range(200)], labels, p, [""] * 200, ["a", "b"]) for p in probabilities
    ]
    pair = compare_predictions(["x", "y"], [[one] for one in same], ["accuracy"], Draws(10_000))["pairs"][0]
    found = pair["bootstrap"]["accuracy"]
    difference = right[0].astype(float) - right[1]
    expected = stats.bootstrap(
        (difference,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    )
    assert found["difference"] == pytest.approx(difference.mean())
    assert found["ci95"] == pytest.approx(expected.confidence_interval, abs=0.011)
    drawn = expected.bootstrap_distribution
    assert found["p"] == pytest.approx(2 * min((drawn <= 0).mean(), (drawn >= 0).mean()), abs=0.03)


def test_a_better_model_is_found_and_a_pair_of_equals_is_not(three, tmp_path, capsys):
    found = hemf.compare(three, out=str(tmp_path / "out" / "compare.json"))
    report = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert report == found.report
    assert [(p["first"], p["second"]) for p in found.pairs] == [
        ("poor", "good"),
        ("poor", "fair"),
        ("good", "fair"),
    ]
    first = found.pairs[0]
    assert first["bootstrap"]["accuracy"]["ci95"][1] < 0
    for test in (first["bootstrap"]["roc_auc_macro"], first["mcnemar"], first["delong"]["macro"]):
        assert test["p"] < 0.01
    assert first["delong"]["macro"]["difference"] == pytest.approx(
        first["bootstrap"]["roc_auc_macro"]["difference"]
    )
    p = [pair["mcnemar"]["p"] for pair in found.pairs]
    holm = dict(zip(np.argsort(p), np.maximum.accumulate(np.sort(p) * [3, 2, 1]).clip(max=1), strict=True))
    assert [pair["mcnemar"]["p_holm"] for pair in found.pairs] == pytest.approx([holm[i] for i in range(3)])
    assert report["intervals"]["groups"] == 30
    said = " ".join(capsys.readouterr().out.split())
    assert "those for several images of a patient: 30 patients or lesions in these 90 images" in said
    markdown = (tmp_path / "out" / "compare.md").read_text()
    assert "ROC AUC of c, DeLong" in markdown
    assert r"\begin{tabular}" in (tmp_path / "out" / "compare.tex").read_text()


def test_a_model_against_its_copy(tmp_path):
    samples = some(groups=None)
    runs = [evaluated(tmp_path / name, samples, model(samples, 1.0, 0)) for name in "xy"]
    found = hemf.compare(runs)
    pair = found.pairs[0]
    tests = [*pair["bootstrap"].values(), pair["mcnemar"], pair["delong"]["macro"]]
    assert [test["p"] for test in tests] == [1.0] * 6
    assert pair["bootstrap"]["accuracy"]["difference"] == 0
    assert not any("independent" in note for note in found.report["notes"])


def test_order_of_images_and_of_classes_does_not_matter(tmp_path):
    samples = some()
    good, poor = model(samples, 2.0, 0), model(samples, 0.5, 1)
    evaluated(tmp_path / "good", samples, good)
    evaluated(tmp_path / "poor", samples, poor)
    order = np.random.default_rng(0).permutation(90)
    turned = poor[order][:, [2, 0, 1]]
    evaluated(tmp_path / "turned", [samples[i] for i in order], turned, classes=["c", "a", "b"])
    one, two = (hemf.compare([str(tmp_path / "good"), str(tmp_path / b)]) for b in ("poor", "turned"))
    assert {k: v for k, v in one.pairs[0].items() if k != "second"} == {
        k: v for k, v in two.pairs[0].items() if k != "second"
    }


def test_the_metrics_asked_for(three):
    found = hemf.compare(three[:2], metric="mcc, log_loss", resamples=200, seed=3)
    assert list(found.pairs[0]["bootstrap"]) == ["mcc", "log_loss"]
    with pytest.raises(HemfError, match="no metric 'f1_marco'; did you mean f1_macro"):
        hemf.compare(three, metric="f1_marco")
    with pytest.raises(HemfError, match="50 resamples are too few"):
        hemf.compare(three, resamples=50)


def test_numbers_that_are_too_good_are_said_to_be(tmp_path):
    samples = some(groups=None)
    evaluated(tmp_path / "x", samples, model(samples, 1.0, 0), images_trained_on=4, chose_checkpoint=True)
    evaluated(tmp_path / "y", samples, model(samples, 1.0, 1), folds=[])
    notes = " ".join(hemf.compare([str(tmp_path / "x"), str(tmp_path / "y")]).report["notes"])
    assert "was trained on 4 of these images" in notes
    assert "chose the checkpoint" in notes
    assert "is a cross-validation" in notes


def test_runs_tested_on_different_images_or_labels_are_refused(three, tmp_path):
    samples, other = some(), SimpleNamespace()
    p = model(samples, 1.0, 0)
    other.fewer = evaluated(tmp_path / "fewer", samples[:-2], p[:-2])
    with pytest.raises(HemfError, match=r"poor was tested on 88.png and 1 more, and .*fewer was not"):
        hemf.compare([three[0], other.fewer])
    with pytest.raises(HemfError, match=r"poor was tested on 88.png and 1 more, and .*fewer was not"):
        hemf.compare([other.fewer, three[0]])
    changed = [Sample("0.png", "b", "p0", "test"), *samples[1:]]
    other.label = evaluated(tmp_path / "label", changed, p)
    with pytest.raises(HemfError, match=r"the label of 1 image differs, first 0.png: a in .*, b in "):
        hemf.compare([three[0], other.label])
    changed = [Sample("0.png", "a", "q\x1b", "test"), *samples[1:]]
    other.group = evaluated(tmp_path / "group", changed, p)
    with pytest.raises(HemfError, match=r"the group of 1 image differs, first 0.png: p0 in .*, q\ufffd in "):
        hemf.compare([three[0], other.group])
    renamed = [Sample(s.path, s.label.replace("c", "d"), s.group, "test") for s in samples]
    other.classes = evaluated(tmp_path / "classes", renamed, p, classes=["a", "b", "d"])
    with pytest.raises(HemfError, match=r"only one of .* knows the class c"):
        hemf.compare([three[0], other.classes])


def test_what_is_missing_is_named(three, tmp_path):
    with pytest.raises(HemfError, match="two or more different runs"):
        hemf.compare(three[:1])
    with pytest.raises(HemfError, match="two or more different runs"):
        hemf.compare([three[0], three[0]])
    with pytest.raises(HemfError, match="no run at"):
        hemf.compare([three[0], str(tmp_path / "nowhere")])
    with pytest.raises(HemfError, match=r"first: hemf evaluate .*poor --split val"):
        hemf.compare(three, split="val")
    with pytest.raises(HemfError, match=r"no split '\.\./test'"):
        hemf.compare(three, split="../test")


def test_the_file_to_write_must_be_json(three: list[str], tmp_path: Path) -> None:
    with pytest.raises(HemfError, match=r"table.md does not end in .json"):
        hemf.compare(three, out=str(tmp_path / "table.md"))


def test_says_how_the_split_was_made_and_whether_it_leaks(tmp_path: Path) -> None:
    samples = some()
    about = {"split_method": "random", "groups_on_two_sides": 2, "images_of_those_groups": 5}
    runs = [
        evaluated(tmp_path / name, samples, model(samples, 1.0, i), **about) for i, name in enumerate("ab")
    ]
    notes = hemf.compare(runs, resamples=100).report["notes"]
    assert "Split method: random." in notes
    assert any("5 of these 90 images show patients or lesions (2)" in note for note in notes)


def test_a_margin_and_seeds_of_one_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = some(n=300, groups=100)
    runs = [evaluated(tmp_path / f"run{i}", samples, model(samples, 3.0, i)) for i in range(4)]
    found = hemf.compare([f"{runs[0]},{runs[1]}", f"{runs[2]},{runs[3]}"], margin=0.2)
    accuracy = found.models[0]["metrics"]["accuracy"]
    singles = [hemf.compare([run, runs[2]]).models[0]["metrics"]["accuracy"]["value"] for run in runs[:2]]
    assert accuracy["value"] == pytest.approx(np.mean(singles))
    assert accuracy["seeds"] == 2
    pair = found.pairs[0]
    assert (pair["first"], pair["second"]) == ("run0, run1", "run2, run3")
    assert pair["mcnemar"]["p"] is pair["delong"]["macro"]["p"] is None
    assert pair["bootstrap"]["accuracy"]["equivalent"]["p_holm"] is not None
    said = " ".join(capsys.readouterr().out.split())
    assert "Within a margin of 0.2" in said
    assert "seeds of one protocol each" in said
    hemf.compare(runs[:2], margin=0.2)
    assert "yes (p < 0.001)" in capsys.readouterr().out
    with pytest.raises(HemfError, match="the margin is 0; give the difference"):
        hemf.compare(runs[:2], margin=0.0)
    with pytest.raises(HemfError, match="two or more different runs"):
        hemf.compare([f"{runs[0]},{runs[1]}", runs[0]])
