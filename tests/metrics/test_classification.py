"""Metrics against hand-computed examples, against scikit-learn, and by their invariants."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hemf.core.errors import HemfError
from hemf.metrics.classification import CLASS_MEASURES, classification_metrics, ranking_scores
from hemf.report.terminal import HEADLINE

ABC = ["a", "b", "c"]


def one_hot(predictions: list[int], k: int, sure: float = 0.8) -> np.ndarray:
    """Probabilities whose largest is ``sure`` at each prediction."""
    rest = (1 - sure) / (k - 1)
    return np.where(np.eye(k, dtype=bool)[predictions], sure, rest)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, softmax probabilities without ties, and class names."""
    k, n = draw(st.integers(2, 5)), draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(0, draw(st.integers(1, k)), n)
    return labels, rng.dirichlet(np.ones(k), n), [f"class {i}" for i in range(k)]


def test_hand_computed_example_of_three_classes() -> None:
    # rows true, columns predicted: a (2, 1, 0), b (0, 2, 0), c (1, 0, 2)
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    found = classification_metrics(labels, one_hot([0, 0, 1, 1, 1, 0, 2, 2], 3), ABC)
    values = {name: m["value"] for name, m in found["metrics"].items()}
    assert found["confusion_matrix"] == [[2, 1, 0], [0, 2, 0], [1, 0, 2]]
    assert values["accuracy"] == pytest.approx(6 / 8)
    assert values["balanced_accuracy"] == values["recall_macro"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert values["precision_macro"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert values["precision_weighted"] == pytest.approx((3 * 2 / 3 + 2 * 2 / 3 + 3 * 1) / 8)
    assert values["f1_macro"] == pytest.approx((4 / 6 + 4 / 5 + 4 / 5) / 3)
    assert values["f1_weighted"] == pytest.approx((3 * 4 / 6 + 2 * 4 / 5 + 3 * 4 / 5) / 8)
    assert values["specificity_macro"] == pytest.approx((4 / 5 + 5 / 6 + 5 / 5) / 3)
    chance = (3 * 3 + 2 * 3 + 3 * 2) / 64
    assert values["kappa"] == pytest.approx((6 / 8 - chance) / (1 - chance))
    covariance = 6 * 8 - (3 * 3 + 2 * 3 + 3 * 2)
    spread = math.sqrt(64 - (9 + 9 + 4)) * math.sqrt(64 - (9 + 4 + 9))
    assert values["mcc"] == pytest.approx(covariance / spread)
    assert values["log_loss"] == pytest.approx(-(6 * math.log(0.8) + 2 * math.log(0.1)) / 8)
    counts = {name: found["per_class"]["a"][name]["n"] for name in CLASS_MEASURES}
    assert counts == {
        "precision": 3, "recall": 3, "f1": 4, "specificity": 5, "roc_auc": 8, "average_precision": 8,
    }  # fmt: skip


def test_ranking_measures_of_a_hand_computed_example() -> None:
    # b's scores .9 and .4 against a's .6 and .1: three of four pairs in order
    labels, p = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1])
    found = classification_metrics(labels, np.stack([1 - p, p], 1), ["a", "b"])["per_class"]
    assert found["b"]["roc_auc"]["value"] == found["a"]["roc_auc"]["value"] == pytest.approx(3 / 4)
    assert found["b"]["average_precision"]["value"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert found["a"]["average_precision"]["value"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_agrees_with_scikit_learn(case: tuple) -> None:
    labels, probabilities, classes = case
    found = classification_metrics(labels, probabilities, classes)
    values = {name: m["value"] for name, m in found["metrics"].items()}
    predictions, present = probabilities.argmax(1), sorted(set(labels.tolist()))
    assert found["averaged_over"] == [classes[k] for k in present]
    for how in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(
            labels, predictions, labels=present, average=how, zero_division=0
        )[:3]
        got = [values[f"{name}_{how}"] for name in ("precision", "recall", "f1")]
        assert got == pytest.approx(expected)
    rows = np.clip(probabilities[np.arange(len(labels)), labels], 1e-300, 1)
    assert values["log_loss"] == pytest.approx(-np.log(rows).mean())
    if len(present) == 1:
        assert values["mcc"] is values["kappa"] is values["roc_auc_macro"] is None
        return
    aucs = [sk.roc_auc_score(labels == k, probabilities[:, k]) for k in present]
    precisions = [sk.average_precision_score(labels == k, probabilities[:, k]) for k in present]
    specificities = [sk.recall_score(labels != k, predictions != k) for k in present]
    assert values["roc_auc_macro"] == pytest.approx(np.mean(aucs))
    assert values["average_precision_macro"] == pytest.approx(np.mean(precisions))
    assert values["specificity_macro"] == pytest.approx(np.mean(specificities))
    assert values["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, predictions))
    assert values["kappa"] == pytest.approx(sk.cohen_kappa_score(labels, predictions))


@settings(deadline=None, max_examples=60)
@given(cases(), st.randoms(use_true_random=False))
def test_order_of_images_and_of_classes_does_not_matter(case: tuple, random) -> None:
    labels, probabilities, classes = case
    images, order = list(range(len(labels))), list(range(len(classes)))
    random.shuffle(images)
    random.shuffle(order)
    place = np.argsort(order)
    shuffled = classification_metrics(
        place[labels[images]], probabilities[images][:, order], [classes[k] for k in order]
    )
    found = classification_metrics(labels, probabilities, classes)
    for name, one in found["metrics"].items():
        assert shuffled["metrics"][name]["value"] == pytest.approx(one["value"]), name
    for name in classes:
        for measure in CLASS_MEASURES:
            one, other = found["per_class"][name][measure], shuffled["per_class"][name][measure]
            assert (one["n"], other["value"]) == (other["n"], pytest.approx(one["value"])), measure


@settings(deadline=None, max_examples=60)
@given(cases())
def test_bounds_and_identities(case: tuple) -> None:
    labels, probabilities, classes = case
    found = classification_metrics(labels, probabilities, classes)
    assert set(HEADLINE) <= set(found["metrics"])
    assert found["metrics"]["recall_weighted"]["value"] == pytest.approx(
        found["metrics"]["accuracy"]["value"]
    )
    assert np.sum(found["confusion_matrix"]) == found["n"] == sum(c["n"] for c in found["per_class"].values())
    every = [*found["metrics"].items()]
    every += [(m, c[m]) for c in found["per_class"].values() for m in CLASS_MEASURES]
    for name, one in every:
        if one["value"] is None:
            assert one["reason"] in ("absent", "never predicted", "one class only")
        elif name != "log_loss":
            low = -1 if name in ("mcc", "kappa") else 0
            assert low <= one["value"] <= 1 + 1e-12
        if "ci95" in one:
            assert 0 <= one["ci95"][0] <= one["value"] <= one["ci95"][1] <= 1
    json.dumps(found, allow_nan=False)


@settings(deadline=None, max_examples=30)
@given(cases())
def test_perfect_predictions_score_one(case: tuple) -> None:
    labels, _, classes = case
    found = classification_metrics(labels, one_hot(labels, len(classes), 0.99), classes)
    for name, one in found["metrics"].items():
        if name != "log_loss" and one["value"] is not None:
            assert one["value"] == pytest.approx(1), name
    assert found["metrics"]["log_loss"]["value"] == pytest.approx(-math.log(0.99))


def test_an_absent_class_is_said_to_be_absent_and_left_out_of_the_averages() -> None:
    labels = np.array([0, 0, 2, 2])
    found = classification_metrics(labels, one_hot([0, 1, 2, 2], 3), ABC)
    assert found["absent_classes"] == ["b"]
    assert found["averaged_over"] == ["a", "c"]
    assert found["per_class"]["b"]["absent"] is True
    for name in set(CLASS_MEASURES) - {"specificity"}:
        assert found["per_class"]["b"][name] == {"value": None, "n": 0, "reason": "absent"}
    specificity = found["per_class"]["b"]["specificity"]
    assert (specificity["value"], specificity["n"]) == (3 / 4, 4)
    assert found["metrics"]["recall_macro"]["value"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["metrics"]["roc_auc_macro"]["value"] == pytest.approx((3 / 4 + 1) / 2)


def test_a_class_never_predicted_has_no_precision_and_counts_as_zero_in_the_average() -> None:
    found = classification_metrics(np.array([0, 0, 1, 1]), one_hot([0, 0, 0, 0], 2), ["a", "b"])
    assert found["per_class"]["b"]["precision"] == {"value": None, "n": 0, "reason": "never predicted"}
    assert found["per_class"]["b"]["recall"]["value"] == 0
    assert found["metrics"]["precision_macro"]["value"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["metrics"]["mcc"]["value"] == found["metrics"]["kappa"]["value"] == 0


@pytest.mark.parametrize("prediction", [0, 1])
def test_one_image(prediction: int) -> None:
    found = classification_metrics(np.array([1]), one_hot([prediction], 2), ["a", "b"])
    assert found["metrics"]["accuracy"]["value"] == prediction
    assert found["per_class"]["b"]["specificity"]["reason"] == "one class only"
    assert found["metrics"]["specificity_macro"]["value"] is None
    assert found["metrics"]["roc_auc_macro"] == {"value": None, "n": 1, "reason": "one class only"}


def test_wilson_intervals_by_the_formula() -> None:
    found = classification_metrics(np.array([0] * 7 + [1] * 3), one_hot([0] * 8 + [1] * 2, 2), ["a", "b"])
    z, p, n = 1.959963984540054, 0.9, 10
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    expected = [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]
    assert found["metrics"]["accuracy"]["ci95"] == pytest.approx(expected)
    assert found["per_class"]["a"]["precision"]["n"] == 8
    with_intervals = {m for m in CLASS_MEASURES if "ci95" in found["per_class"]["a"][m]}
    assert with_intervals == {"precision", "recall", "specificity"}


def test_rounding_near_one_does_not_part_the_two_aucs() -> None:
    p = np.array([1e-30, 1e-25, 1e-20, 1e-28])
    found = classification_metrics(np.array([0, 1, 1, 0]), np.stack([1 - p, p], 1), ["a", "b"])
    assert [found["per_class"][c]["roc_auc"]["value"] for c in "ab"] == [1, 1]
    assert ranking_scores(np.full((1, 3), 1 / 3)).shape == (1, 3)


@pytest.mark.parametrize(
    ("labels", "probabilities", "classes", "words"),
    [
        (np.zeros(0, int), np.zeros((0, 2)), ["a", "b"], "at least one image"),
        (np.array([0]), np.array([[1.0]]), ["a"], "two or more classes"),
        (np.array([0]), np.array([[0.5, 0.5]]), ["a", "a"], "different names"),
        (np.array([0.0]), np.array([[0.5, 0.5]]), ["a", "b"], "integer labels"),
        (np.array([2]), np.array([[0.5, 0.5]]), ["a", "b"], "labels must lie in 0..1"),
        (np.array([0]), np.array([[0.5, 0.5, 0.0]]), ["a", "b"], "N x 2 probabilities"),
        (np.array([0]), np.array([[3.0, -2.0]]), ["a", "b"], "apply softmax"),
        (np.array([0]), np.array([[np.nan, 1.0]]), ["a", "b"], "apply softmax"),
    ],
)
def test_what_does_not_fit_is_refused(labels, probabilities, classes, words) -> None:
    with pytest.raises(HemfError, match=words) as caught:
        classification_metrics(labels, probabilities, classes)
    assert "\n" not in str(caught.value)
