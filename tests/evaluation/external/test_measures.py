"""Re-weighting, recalibration and carried thresholds, against what is known of made data."""

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from hemf.calibration.record import Calibration, OperatingPoint
from hemf.evaluation.external.prevalence import class_weights, reweighted, shares_of
from hemf.evaluation.external.recalibration import (
    SD_INTERCEPT,
    WAYS,
    Parameters,
    fit_parameters,
    recalibrate,
)
from hemf.evaluation.external.thresholds import carried
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import Draws
from hemf.metrics.operating_points import operating_point_metrics

RNG = np.random.default_rng(0)


def of_two(n: int, share: float, shift: float = 0.0, slope: float = 1.0, seed: int = 0) -> Predictions:
    """Images of two classes whose true log-odds are ``shift + slope`` times what the model says."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(logit(share), 2.0, n)
    labels = (rng.random(n) < expit(shift + slope * odds)).astype(np.int64)
    positive = expit(odds)
    probabilities = np.stack([1 - positive, positive], axis=1)
    return Predictions(
        [str(i) for i in range(n)], labels, probabilities, [f"p{i // 2}" for i in range(n)], ["no", "yes"]
    )


def test_weights_give_the_shares_of_the_other_place() -> None:
    found = of_two(500, 0.3)
    development = {"no": 0.9, "yes": 0.1}
    here = shares_of([found.classes[k] for k in found.labels], found.classes)
    weights = class_weights(development, here)[found.labels]
    assert weights[found.labels == 1].sum() / weights.sum() == pytest.approx(0.1)
    result = reweighted(found, Calibration(), development, Draws(200))
    decided = found.decisions
    for name, of in (
        ("accuracy", accuracy_score(found.labels, decided, sample_weight=weights)),
        ("f1_macro", f1_score(found.labels, decided, average="macro", sample_weight=weights)),
        ("mcc", matthews_corrcoef(found.labels, decided, sample_weight=weights)),
    ):
        assert result.measures[name]["value"] == pytest.approx(of), name
        assert result.measures[name]["ci95"][0] < of < result.measures[name]["ci95"][1]
    assert result.effective_n == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert result.effective_n < 500


def test_predictive_values_follow_bayes() -> None:
    """PPV = sens p / (sens p + (1 - spec)(1 - p)), whatever the share here."""
    found, point = of_two(800, 0.4), OperatingPoint("yes", "sensitivity", 0.9, 0.3, 100)
    own = Calibration(operating_points=(point,))
    (one,) = reweighted(found, own, {"no": 0.95, "yes": 0.05}, Draws(100)).operating_points
    rates = operating_point_metrics(found.labels, found.probabilities, found.classes, point)
    sensitivity, specificity = rates["sensitivity"]["value"], rates["specificity"]["value"]
    called = 0.05 * sensitivity + 0.95 * (1 - specificity)
    assert one["ppv"]["value"] == pytest.approx(0.05 * sensitivity / called)
    assert one["npv"]["value"] == pytest.approx(0.95 * specificity / (1 - called))


def test_slope_and_intercept_of_two_classes_are_coxs() -> None:
    found = of_two(4000, 0.4, shift=0.7, slope=0.5)
    logs = np.log(found.probabilities)
    odds = logs[:, 1] - logs[:, 0]
    cox = LogisticRegression(C=1e8).fit(odds[:, None], found.labels)
    fitted = fit_parameters(logs, found.labels, "slope and intercept")
    frequent = np.bincount(found.labels).argmax()
    intercept = fitted.intercepts[1] - fitted.intercepts[0]
    assert fitted.intercepts[frequent] == 0
    assert fitted.slope == pytest.approx(cox.coef_[0, 0], abs=5e-3)
    assert intercept == pytest.approx(cox.intercept_[0], abs=5e-3)


@pytest.mark.parametrize("way", WAYS)
def test_the_gradient_vanishes_where_it_says(way: str) -> None:
    """The penalised likelihood is no better anywhere near."""
    labels = RNG.integers(0, 3, 300)
    logs = np.log(softmax(RNG.normal(size=(300, 4)) + 2 * np.eye(4)[labels], axis=1))
    best = fit_parameters(logs, labels, way)
    assert best.intercepts[3] == 0, "there is no image of that class"

    def loss(slope: float, intercepts: np.ndarray) -> float:
        rows = slope * logs + intercepts
        likelihood = rows[np.arange(300), labels] - np.log(np.exp(rows).sum(1))
        return -likelihood.sum() + np.log(slope) ** 2 / 2 + (intercepts**2).sum() / SD_INTERCEPT**2 / 2

    here = loss(best.slope, best.intercepts)
    for change in (0.02, -0.02):
        if WAYS[way][0]:
            assert loss(best.slope * np.exp(change), best.intercepts) > here
        for k in np.flatnonzero(best.intercepts):
            assert loss(best.slope, best.intercepts + change * np.eye(4)[k]) > here


def test_recalibration_gains_where_the_model_is_off_and_not_where_it_is_right() -> None:
    off = recalibrate(of_two(600, 0.3, shift=-1.5), Draws(200))
    assert off is not None
    gains = {one.method: one.gain for one in off.ways}
    assert gains["intercept"]["ci95"][0] > 0.05
    assert next(one.log_loss for one in off.ways if one.method == "intercept") < off.log_loss
    assert [row["units"] for row in off.ways[1].few] == [20, 50, 100]
    right = recalibrate(of_two(600, 0.3), Draws(200))
    assert right is not None
    assert all(one.gain["value"] < 0.01 for one in right.ways)
    assert right.ways[2].few[0]["gain"] < 0, "twenty patients fit noise"


def test_no_image_is_predicted_by_what_its_patient_was_part_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both images of a patient are one picture, so that the rows of one would be seen in the other's fit."""
    rng = np.random.default_rng(1)
    labels, odds = np.repeat(rng.integers(0, 2, 100), 2), np.repeat(rng.normal(0, 3, 100), 2)
    probabilities = np.stack([1 - expit(odds), expit(odds)], axis=1)
    groups = [f"p{i // 2}" for i in range(200)]
    found = Predictions([str(i) for i in range(200)], labels, probabilities, groups, ["a", "b"])
    applied = []

    class Apart(Parameters):
        fitted: set[bytes]

        def applied(self, logs: np.ndarray) -> np.ndarray:
            applied.append(len(logs))
            assert not self.fitted & {row.tobytes() for row in logs}
            return super().applied(logs)

    def fit(logs: np.ndarray, labels: np.ndarray, way: str) -> Parameters:
        one = Apart(1.0, np.zeros(2))
        object.__setattr__(one, "fitted", {row.tobytes() for row in logs})
        return one

    monkeypatch.setattr("hemf.evaluation.external.recalibration.fit_parameters", fit)
    recalibrate(found, Draws(20))
    assert sum(applied[:5]) == 200


def test_too_few_or_a_single_class_are_not_recalibrated() -> None:
    assert recalibrate(of_two(78, 0.3), Draws(20)) is None
    single = of_two(200, 0.3)
    single.labels[:] = 1
    assert recalibrate(single, Draws(20)) is None


def test_a_threshold_is_moved_by_its_odds_and_says_what_it_reaches() -> None:
    found, point = of_two(500, 0.4, shift=-2), OperatingPoint("yes", "sensitivity", 0.95, 0.5, 100)
    rates = operating_point_metrics(found.labels, found.probabilities, found.classes, point)
    one = carried(found, point, rates)
    assert one.reached == rates["sensitivity"]
    assert one.kept is (rates["sensitivity"]["ci95"][1] >= 0.95)
    assert [m["threshold"] for m in one.moved] == pytest.approx([0.2, 1 / 3, 0.5, 2 / 3, 0.8])
    assert one.moved[2]["sensitivity"] == pytest.approx(rates["sensitivity"]["value"])
    assert one.moved[2]["specificity"] == pytest.approx(rates["specificity"]["value"])
    assert one.needed is not None
    assert (found.probabilities[found.labels == 1, 1] >= one.needed).mean() >= 0.95
