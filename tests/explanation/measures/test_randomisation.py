"""Random weights: the cascade undoes a model part by part, and its maps change with it."""

import numpy as np
import pytest
import timm
import torch
from scipy.stats import spearmanr
from torch import nn

import hemf.models  # noqa: F401  registers the models
from hemf.core.errors import HemfError
from hemf.explanation.gradcam import heat_maps
from hemf.explanation.measures.randomisation import (
    cascade,
    map_similarities,
    randomised_similarities,
    rank_correlation,
)


def nano(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model("hemf_nano", num_classes=3).eval()


def test_the_cascade_runs_from_the_head_to_the_stem_and_leaves_the_model_alone():
    model, fresh = nano(0), nano(1)
    before, new = {k: v.clone() for k, v in model.state_dict().items()}, fresh.state_dict()
    parts, gone = [], ()
    for part, undone in cascade(model, fresh):
        parts.append(part)
        gone = (*gone, *(f"{name}." for name in part.split(", ")))
        for name, value in undone.state_dict().items():
            assert torch.equal(value, new[name] if name.startswith(gone) else before[name]), (part, name)
    assert parts == ["head", "stages.3", "stages.2", "stages.1", "stages.0", "global_stem, local_stem"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_cascade_ends_at_the_fresh_model_for_timms_models_too(name):
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models.append(timm.create_model(name, num_classes=3))
    *_, (_, undone) = cascade(*models)
    assert all(torch.equal(undone.state_dict()[k], v) for k, v in models[1].state_dict().items())


def test_maps_stay_with_the_same_weights_and_fall_with_random_ones():
    model, images = nano(0), torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    same = randomised_similarities(model, nano(0), images, [0] * 6, "stages.2.fusion")
    for part, alike in same.items():
        if part != "another image":
            assert alike["spearman"] == pytest.approx(1, abs=1e-3)
            assert alike["ssim"] == pytest.approx(1, abs=1e-3)
    other = randomised_similarities(model, nano(1), images, [0] * 6, "stages.2.fusion")
    assert list(other) == list(same)
    assert other["global_stem, local_stem"]["spearman"].mean() < 0.5
    assert other["global_stem, local_stem"]["ssim"].mean() < 0.9
    fresh_maps = heat_maps(nano(1), images, [0] * 6, "stages.2.fusion")
    expected = map_similarities(heat_maps(model, images, [0] * 6, "stages.2.fusion"), fresh_maps, (64, 64))
    np.testing.assert_allclose(other["global_stem, local_stem"]["spearman"], expected["spearman"], atol=1e-4)


def test_rank_correlation_is_scipys_and_undefined_for_constant_maps():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 4, 6, 7)).astype(float)
    second[3] = 0.5
    found = rank_correlation(first, second)
    for i in range(3):
        assert found[i] == pytest.approx(spearmanr(first[i].ravel(), second[i].ravel()).statistic)
    assert np.isnan(found[3])


def test_a_model_without_an_order_of_parts_is_an_error():
    with pytest.raises(HemfError, match="--perturb 0"):
        next(cascade(nn.Linear(2, 2), nn.Linear(2, 2)))


def test_a_batch_of_one_has_no_other_image_to_compare_with():
    torch.manual_seed(0)
    found = randomised_similarities(nano(0), nano(1), torch.randn(1, 3, 64, 64), [0], "stages.2.fusion")
    assert np.isnan(found["another image"]["spearman"]).tolist() == [True]
    assert np.isnan(found["another image"]["ssim"]).tolist() == [True]
