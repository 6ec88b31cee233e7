"""What a calibration does to outputs, what it cannot settle, and how it travels."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hemf.calibration.conformal import conformal_quantile
from hemf.calibration.fit import fit_calibration
from hemf.calibration.record import UNCALIBRATED, Calibration, PredictionSets
from hemf.calibration.temperature import fit_temperature
from hemf.core.errors import HemfError

ABOUT = {"data": "d", "data_hash": "h", "split": "val", "n": 300, "groups": None, "chose_checkpoint": True}


def outputs(n: int = 300, k: int = 3, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(n, k))).float()
    labels = rng.multinomial(1, logits.double().softmax(1).numpy()).argmax(1)
    return 4 * logits, labels


def fit(logits: torch.Tensor, labels: np.ndarray, **options) -> Calibration:
    return fit_calibration(logits, labels, list("abcdefg")[: logits.shape[1]], ABOUT, **options)


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=6, unique=True),
    st.floats(0.05, 50),
    st.floats(0, 1),
)
def test_the_prediction_stays_and_is_the_set_of_one(logits: list[float], temperature: float, quantile: float):
    own = Calibration(temperature, PredictionSets(0.9, quantile, 100))
    probabilities = own.probabilities(torch.tensor(logits)).numpy()
    assert probabilities.sum() == pytest.approx(1)
    top = probabilities == probabilities.max()
    assert top[np.argmax(logits)]
    inside = own.sets.hold(probabilities)
    assert not inside.any() or inside[top].all()


def test_without_a_calibration_probabilities_are_the_softmax() -> None:
    logits = torch.tensor([1.0, 2.0, -1.0])
    assert torch.equal(UNCALIBRATED.probabilities(logits), logits.double().softmax(0))
    assert UNCALIBRATED.sets is None


def test_all_parts_are_fitted_on_the_same_probabilities() -> None:
    logits, labels = outputs()
    found = fit(logits, labels, coverage=0.8, sensitivity=[0.9, 0.99], specificity={"c": 0.7, "a": 0.6})
    assert found.temperature == fit_temperature(logits.numpy(), labels) == pytest.approx(4, rel=0.3)
    probabilities = torch.stack([found.probabilities(row) for row in logits]).numpy()
    assert found.sets == PredictionSets(0.8, conformal_quantile(probabilities, labels, 0.8), 300)
    assert found.sets.hold(probabilities)[np.arange(300), labels].mean() >= 0.8
    points = [(point.label, point.target, point.at) for point in found.operating_points]
    assert points == [
        *(("a", "sensitivity", 0.9), ("a", "sensitivity", 0.99), ("a", "specificity", 0.6)),
        *(("b", "sensitivity", 0.9), ("b", "sensitivity", 0.99)),
        *(("c", "sensitivity", 0.9), ("c", "sensitivity", 0.99), ("c", "specificity", 0.7)),
    ]
    for point in found.operating_points:
        of_class = labels == "abc".index(point.label)
        called = probabilities[:, "abc".index(point.label)] >= point.threshold
        reached = called[of_class] if point.target == "sensitivity" else ~called[~of_class]
        assert reached.mean() >= point.at
        assert point.n == len(reached)
    assert not found.left_out


def test_halves_keep_temperature_and_sets_apart() -> None:
    logits, labels = outputs()
    for_sets = np.arange(300) % 3 == 0
    found = fit(logits, labels, for_sets=for_sets)
    rest = torch.from_numpy(~for_sets)
    assert found.temperature == fit_temperature(logits[rest].numpy(), labels[~for_sets])
    probabilities = torch.stack([found.probabilities(row) for row in logits]).numpy()
    assert found.sets.n == 100
    assert found.sets.quantile == conformal_quantile(probabilities[for_sets], labels[for_sets], 0.9)


def test_says_what_the_images_cannot_settle() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0]] * 3)
    found = fit(logits, np.array([0, 1] * 3), specificity={"b": 0.5})
    assert found.temperature is None
    assert found.sets is None
    assert [(point.label, point.target) for point in found.operating_points] == [
        *(("a", "sensitivity"), ("b", "sensitivity"), ("b", "specificity"))
    ]
    said = " ".join(found.left_out)
    assert "all 6 images are classified right" in said
    assert "6 images are too few to promise a coverage of 0.9" in said
    assert "sensitivity of 0.95 for c: no image is of that class" in said
    assert said in found.summary().replace("; ", " ")
    flat = fit(torch.eye(3), np.array([1, 2, 0]), specificity=0.9)
    assert "tell nothing about the class" in flat.left_out[0]
    assert sum("other images have the highest" in sentence for sentence in flat.left_out) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coverage": 1.0}, "coverage is 1.0"),
        ({"coverage": 0}, "coverage is 0"),
        ({"sensitivity": 95}, "a sensitivity of 95"),
        ({"specificity": [0.9, 0]}, "a specificity of 0"),
        ({"sensitivity": {"z": 0.9}}, "no class 'z' for a sensitivity; the model's are a, b, c"),
    ],
)
def test_shares_that_are_none_are_refused(options: dict, words: str) -> None:
    with pytest.raises(HemfError, match=words):
        fit(*outputs(30), **options)


def test_outputs_that_are_not_finite_are_refused() -> None:
    logits, labels = outputs(30)
    logits[3, 1] = torch.nan
    with pytest.raises(HemfError, match="not finite"):
        fit(logits, labels)


def test_travels_as_json() -> None:
    for found in (fit(*outputs(), specificity=0.9), fit(torch.eye(3), np.arange(3)), UNCALIBRATED):
        config = json.loads(json.dumps({"hemf": {"calibration": found.to_config()}}, allow_nan=False))
        assert Calibration.from_config(config) == found
    assert Calibration.from_config({}) is None
    assert Calibration.from_config({"hemf": {"data": "d"}}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": -1},
        {"temperature": "warm"},
        {"temperature": float("inf")},
        {"conformal": {"coverage": 0.9}},
        {"conformal": {"coverage": 0.9, "quantile": 0.5, "n": 30, "method": "aps"}},
        {"operating_points": [{"class": "a"}]},
        {"fitted_on": 3},
    ],
)
def test_a_damaged_entry_is_named(change: dict) -> None:
    config = fit(*outputs()).to_config() | change
    with pytest.raises(HemfError, match=r"calibration in the model.s config\.json is damaged") as caught:
        Calibration.from_config({"hemf": {"calibration": config}})
    assert "\n" not in str(caught.value)


def test_sets_by_class_travel_and_must_fit_the_model() -> None:
    own = Calibration(None, PredictionSets(0.9, (0.2, 0.9, 1.0), 50), fitted_on={"split": "val", "n": 50})
    config = json.loads(json.dumps({"hemf": {"calibration": own.to_config()}}))
    assert Calibration.from_config(config) == own
    assert "sets of 0.9 coverage for each class" in own.summary()
    assert own.sets is not None
    assert own.sets.hold(np.array([0.75, 0.2, 0.05])).tolist() == [False, True, True]
    with pytest.raises(HemfError, match="has 2 classes and prediction sets of 3; repeat"):
        own.sets.hold(np.array([0.75, 0.25]))
