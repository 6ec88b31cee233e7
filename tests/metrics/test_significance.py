"""DeLong's and McNemar's tests against their definitions, by hand, and on models that are alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from hemf.metrics.bootstrap import units_of
from hemf.metrics.comparison.delong import auc_parts, delong
from hemf.metrics.comparison.mcnemar import mcnemar_test


def by_definition(positive: np.ndarray, scores: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """AUCs and their covariance from the kernel of every pair (DeLong et al. 1988, equations 2 to 5)."""
    v10, v01 = [], []
    for one in scores:
        x, y = one[positive][:, None], one[~positive][None, :]
        psi = (y < x) + 0.5 * (y == x)
        v10.append(psi.mean(1))
        v01.append(psi.mean(0))
    covariance = np.cov(v10) / positive.sum() + np.cov(v01) / (~positive).sum()
    return np.mean(v10, axis=1), np.atleast_2d(covariance)


def two_models(seed: int, n: int, k: int, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.r_[np.repeat(np.arange(k), 2), rng.integers(0, k, n)]
    common = rng.normal(size=(len(labels), k)) + np.eye(k)[labels]
    models = [np.exp(common + strength * rng.normal(size=common.shape)) for strength in (0.5, 1.0)]
    models = [np.round(one) + 1.0 if ties else one for one in models]
    return labels, *(one / one.sum(1, keepdims=True) for one in models)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.booleans())
def test_variance_and_covariance_are_those_of_the_definition(seed, n, ties):
    labels, first, second = two_models(seed, n, 2, ties)
    positive, scores = labels == 1, [first[:, 1], second[:, 1]]
    aucs, covariance = by_definition(positive, scores)
    (a, one), (b, two) = (auc_parts(positive, s) for s in scores)
    assert (a, b) == pytest.approx(aucs)
    assert a == pytest.approx(roc_auc_score(positive, scores[0]))
    assert [one @ one, one @ two, two @ two] == pytest.approx(
        [covariance[0, 0], covariance[0, 1], covariance[1, 1]], abs=1e-12
    )


def test_by_hand():
    # placements of 0.9, 0.4 among 0.6, 0.1, 0.3: 1 and 2/3; of the three among the two: 1/2, 1, 1
    auc, parts = auc_parts(np.array([1, 1, 0, 0, 0], bool), np.array([0.9, 0.4, 0.6, 0.1, 0.3]))
    assert auc == pytest.approx(5 / 6)
    variance = ((1 / 6) ** 2 * 2 / 1) / 2 + ((1 / 3) ** 2 + 2 * (1 / 6) ** 2) / 2 / 3
    assert parts @ parts == pytest.approx(variance)


def test_the_test_is_that_of_the_definition():
    labels, first, second = two_models(3, 200, 3, ties=False)
    of_classes, _ = delong(labels, first, second)
    for k, found in of_classes.items():
        aucs, covariance = by_definition(labels == k, [first[:, k], second[:, k]])
        error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        assert found["difference"] == pytest.approx(aucs[0] - aucs[1])
        assert found["z"] == pytest.approx((aucs[0] - aucs[1]) / error)
        assert found["p"] == pytest.approx(2 * stats.norm.sf(abs(found["z"])))
        assert found["ci95"] == pytest.approx(
            [found["difference"] - 1.959964 * error, found["difference"] + 1.959964 * error], rel=1e-6
        )


def test_of_two_classes_the_macro_is_the_class():
    labels, first, second = two_models(1, 80, 2, ties=True)
    of_classes, macro = delong(labels, first, second)
    assert of_classes[0]["z"] == pytest.approx(of_classes[1]["z"]) == pytest.approx(macro["z"])


def test_the_error_of_the_macro_is_that_of_the_bootstrap():
    labels, first, second = two_models(2, 600, 3, ties=False)
    _, macro = delong(labels, first, second)
    rng, differences = np.random.default_rng(0), []
    for _ in range(1000):
        rows = rng.integers(0, len(labels), len(labels))
        a, b = (
            np.mean([auc_parts(labels[rows] == k, one[rows, k])[0] for k in range(3)])
            for one in (first, second)
        )
        differences.append(a - b)
    assert macro["difference"] / macro["z"] == pytest.approx(np.std(differences), rel=0.08)


def test_p_is_uniform_where_there_is_no_difference():
    values = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels, signal = np.arange(80) % 2, rng.normal(size=80)
        models = []
        for _ in range(2):
            p = 1 / (1 + np.exp(-(labels + signal + rng.normal(size=80))))
            models.append(np.stack([1 - p, p], 1))
        values.append(delong(labels, *models)[1]["p"])
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_equal_models_and_too_few_images():
    labels, first, _ = two_models(0, 20, 3, ties=False)
    of_classes, macro = delong(labels, first, first)
    for found in (*of_classes.values(), macro):
        assert (found["difference"], found["ci95"], found["p"]) == (0, None, 1)
    labels = np.array([0, 0, 0, 1])
    of_classes, macro = delong(labels, first[:4, :2], first[4:8, :2])
    assert macro == of_classes[1] == dict.fromkeys(("first", "second", "difference", "ci95", "z", "p"))
    certain = delong(np.array([0, 0, 1, 1]), np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[1, 1, 0, 0]])[1]
    assert (certain["difference"], certain["ci95"], certain["p"]) == (1, None, None)


def images_of_patients(rng, patients, images):
    """Labels, groups and two models that are alike, whose errors the images of a patient share."""
    labels = np.repeat(np.arange(patients) % 2, images)
    models = []
    for _ in range(2):
        whose = np.repeat(rng.normal(size=patients), images)
        p = 1 / (1 + np.exp(-(labels - 0.5 + whose + 0.3 * rng.normal(size=len(labels)))))
        models.append(np.stack([1 - p, p], 1))
    return labels, [f"p{i // images}" for i in range(len(labels))], *models


def test_models_that_are_alike_are_told_apart_as_often_as_promised():
    """60 patients of five images each: with images taken as independent it is a third, not a twentieth."""
    rng, p = np.random.default_rng(0), []
    for _ in range(400):
        labels, groups, first, second = images_of_patients(rng, 60, 5)
        right = [one.argmax(1) == labels for one in (first, second)]
        units = units_of(labels, groups)
        p.append(
            [
                delong(labels, first, second, units)[1]["p"],
                mcnemar_test(*right, units)["p"],
                delong(labels, first, second)[1]["p"],
                mcnemar_test(*right)["p"],
            ]
        )
    rejected = (np.array(p) < 0.05).mean(0)
    assert (rejected[:2] > 0.02).all()
    assert (rejected[:2] < 0.08).all()  # 0.05 and three standard errors
    assert (rejected[2:] > 0.15).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_sums_by_patient_are_those_of_the_definition(seed, patients):
    """Obuchowski 1997, equations for clusters with images of one kind each: no cross term."""
    labels, groups, first, second = images_of_patients(np.random.default_rng(seed), 2 * patients, 3)
    positive, units = labels == 1, units_of(labels, groups)
    (a, one), (b, two) = (auc_parts(positive, m[:, 1], units) for m in (first, second))
    v10, v01 = [], []
    for model in (first, second):
        above, below = model[positive, 1][:, None], model[~positive, 1][None, :]
        psi = (below < above) + 0.5 * (below == above)
        v10.append((psi.mean(1) - psi.mean()).reshape(patients, 3).sum(1))
        v01.append((psi.mean(0) - psi.mean()).reshape(patients, 3).sum(1))
    n, correction = 3 * patients, patients / (patients - 1)
    for x, y, i, j in ((one, one, 0, 0), (one, two, 0, 1), (two, two, 1, 1)):
        assert x @ y == pytest.approx(correction * (v10[i] @ v10[j] + v01[i] @ v01[j]) / n**2, abs=1e-12)
    assert (a, b) == pytest.approx([roc_auc_score(positive, m[:, 1]) for m in (first, second)])


def test_with_one_image_a_patient_the_tests_are_those_of_images():
    labels, first, second = two_models(5, 60, 3, ties=False)
    units = units_of(labels, [f"p{i}" for i in range(len(labels))])
    plain, grouped = (delong(labels, first, second, one)[1] for one in (None, units))
    assert grouped["z"] == pytest.approx(plain["z"])
    assert grouped["p"] > plain["p"]  # by Student's t
    right = np.zeros((2, 30), bool)
    right[0, :9], right[1, 5:9], right[1, 20:22] = True, True, True
    units = units_of(np.zeros(30, int), [f"p{i}" for i in range(30)])
    by_patient, by_image = mcnemar_test(*right, units), mcnemar_test(*right)
    assert by_patient["p"] == pytest.approx(by_image["p"])
    assert (by_patient["method"], by_image["method"]) == ("exact by patient", "exact")


def test_mcnemar_by_patient_by_hand():
    # patients 3, 2 and -1 images apart, and one alike: of the eight sums +-3 +-2 +-1 four are 4 or more away
    first = np.array([1, 1, 1, 1, 1, 0, 1], bool)
    second = np.array([0, 0, 0, 0, 0, 1, 1], bool)
    units = units_of(np.zeros(7, int), list("aaabbcd"))
    assert mcnemar_test(first, second, units)["p"] == 4 / 8
    assert mcnemar_test(first, first, units)["p"] == 1


def test_many_patients_are_tested_by_their_sums(monkeypatch):
    labels, groups, first, second = images_of_patients(np.random.default_rng(1), 400, 3)
    right, units = [one.argmax(1) == labels for one in (first, second)], units_of(labels, groups)
    exact = mcnemar_test(*right, units)
    monkeypatch.setattr("hemf.metrics.comparison.mcnemar.MOST_EXCHANGED", 0)
    summed = mcnemar_test(*right, units)
    assert summed["method"] == "chi-squared by patient"
    assert summed["p"] == pytest.approx(exact["p"], abs=0.03)
