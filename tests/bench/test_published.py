"""What the paper prints, against its own arithmetic and against what the code takes."""

import pytest
import timm

import hemf.models  # noqa: F401  registers our models with timm
from hemf.bench.published import (
    CORRECTED,
    DATA,
    MODELS,
    PRINTED_NAMES,
    TABLE_3_PARAMS,
    TABLE_6,
    TABLE_10,
    published_scores,
)


def test_the_eleven_models_exist():
    assert len(MODELS) == len(set(PRINTED_NAMES.values())) == len(TABLE_6) == 11
    assert set(MODELS) == set(TABLE_6) <= set(timm.list_models())


@pytest.mark.parametrize("data", DATA)
def test_every_model_has_scores_between_0_and_1_and_hemf_the_best(data):
    scores = {model: published_scores(data, model) for model in MODELS}
    for of_model in scores.values():
        assert {"accuracy", "f1_macro"} <= set(of_model)
        assert all(0 < value < 1 for value in of_model.values())
    assert max(scores, key=lambda model: scores[model]["accuracy"]) == "hemf_base"


def test_scores_are_the_papers_and_others_have_none():
    assert published_scores("isic2018", "hemf_base") == {
        "accuracy": 0.8734,
        "f1_macro": 0.7889,
        "precision_macro": 0.8042,
        "recall_macro": 0.7759,
        "mcc": 0.7553,
        "kappa": 0.7551,
    }
    assert published_scores("kvasir", "came") == {"accuracy": 0.8568, "f1_macro": 0.8568}
    assert published_scores("kvasir", "resnet50") == {}


def test_the_corrected_kvasir_scores_are_means_of_the_authors_two_folds():
    assert CORRECTED["kvasir", "hemf_base"]["mcc"] == pytest.approx((0.8461 + 0.8583) / 2)
    assert CORRECTED["kvasir", "hemf_base"]["kappa"] == pytest.approx((0.8457 + 0.8577) / 2)


def test_the_ablation_rebuilds_from_hemf_and_ends_in_it():
    assert TABLE_10[-1].model_args == {}
    assert TABLE_10[-1].scores["accuracy"] == published_scores("isic2018", "hemf_base")["accuracy"]
    assert len({str(row.model_args) for row in TABLE_10}) == 7
    for row in TABLE_10:
        timm.create_model("hemf_nano", num_classes=2, **row.model_args)


def test_irmlp_is_over_six_times_sirmlp():
    for squeezed, plain in zip(TABLE_3_PARAMS["SIRMLP"], TABLE_3_PARAMS["IRMLP"], strict=True):
        assert 6 < plain / squeezed < 6.5
