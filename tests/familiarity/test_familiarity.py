"""The out-of-distribution score: against scikit-learn and pytorch-ood, false alarms, damaged files."""

import json

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from hemf.core.errors import HemfError
from hemf.familiarity.fit import fit_familiarity
from hemf.familiarity.record import FILE, KEY, Familiarity, Seen, unfamiliar_line

ABOUT = {"data": "made", "split": "val"}


def features(n: int, seed: int = 0, dims: int = 12) -> np.ndarray:
    """Vectors that vary in three directions, and little in the others, about a point."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(42).normal(size=(3, dims))
    return rng.normal(size=(n, 3)) * 3 @ directions + 0.2 * rng.normal(size=(n, dims)) + 5


def seen(n: int, seed: int = 0, **how) -> Seen:
    """Features, and looks that vary together."""
    rng = np.random.default_rng(seed + 7)
    looks = rng.normal(size=(n, 4)) @ np.random.default_rng(8).normal(size=(4, 4)) - 2
    return Seen(features(n, seed, **how), looks)


def usual(others: np.ndarray) -> Seen:
    """Features of images that look as most do."""
    return Seen(others, np.tile(seen(200).looks.mean(0), (len(others), 1)))


@pytest.fixture(scope="module")
def known() -> Familiarity:
    return fit_familiarity(seen(200), seen(99, seed=1), ABOUT)


def test_score_is_what_principal_components_leave_over(known: Familiarity):
    others = np.concatenate([features(20, seed=2), np.random.default_rng(3).normal(5, 4, (20, 12))])
    pca = PCA(known.basis.shape[1]).fit(features(200))
    left = np.linalg.norm(others - pca.inverse_transform(pca.transform(others)), axis=1)
    np.testing.assert_allclose(known.score(usual(others)), left / known.limit, rtol=1e-4)
    assert (known.score(usual(others[20:])) > 1).all()


def test_score_is_the_residual_of_pytorch_ood(known: Familiarity):
    """ViM with a last layer whose origin is our mean; what it adds to the residual is taken off again."""
    from pytorch_ood.detector import ViM

    mean, size = torch.from_numpy(known.mean), len(known.mean)
    layer = torch.eye(size), -mean
    vim = ViM(None, known.basis.shape[1], *layer)
    vim.fit_features(torch.from_numpy(features(200)).float(), torch.zeros(200, dtype=torch.long))
    others = torch.from_numpy(features(30, seed=4) + np.random.default_rng(5).normal(size=(30, 12))).float()
    energy = torch.logsumexp(others - mean, 1)
    residual = (vim.predict_features(others) + energy) / vim.alpha
    np.testing.assert_allclose(known.score(usual(others.numpy())), residual / known.limit, rtol=1e-3)


def test_what_looks_unlike_is_unlike_whatever_its_features(known: Familiarity):
    from sklearn.covariance import LedoitWolf

    training, others = seen(200), seen(30, seed=9)
    strange = Seen(others.features, others.looks + 9)
    assert (known.score(strange) > 1).all()
    distance = np.sqrt(LedoitWolf().fit(training.looks).mahalanobis(strange.looks))
    ratio = known.score(strange) / distance
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)  # beside it the residuals are small


def test_torch_and_numpy_give_the_same_score():
    from torch import nn

    from hemf.inference.scored import Scored, look_of, look_size

    class Shrinking(nn.Module):
        """Sees the mean of each quarter of an image."""

        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(12, 3)

        def forward_features(self, x):
            return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)

        def forward_head(self, x, pre_logits=False):
            return x if pre_logits else self.last(x)

    network = Shrinking()
    rng = torch.Generator().manual_seed(0)
    training, images = (torch.randn(n, 3, 16, 20, generator=rng) for n in (60, 10))
    found = [Seen(network.forward_features(one).numpy(), look_of(one).numpy()) for one in (training, images)]
    assert found[0].looks.shape == (60, look_size(3))
    known = fit_familiarity(found[0], found[0], ABOUT)
    scored = Scored(network, known)
    outputs = scored.forward_head(scored.forward_features(images)).detach()
    assert torch.equal(outputs[:, :3], network.last(network.forward_features(images)))
    np.testing.assert_allclose(outputs[:, 3], known.score(found[1]), rtol=1e-4)
    blank = torch.full((1, 3, 16, 20), 0.3)
    assert scored.forward_head(scored.forward_features(blank))[0, 3] > 1


def test_a_look_is_what_numpy_says():
    from hemf.inference.scored import look_of

    image = np.random.default_rng(0).normal(size=(3, 5, 6))
    found = look_of(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_allclose(found[:3], image.mean((1, 2)), atol=1e-6)
    np.testing.assert_allclose(np.exp(found[3:6]) - 0.01, image.std((1, 2)), atol=1e-5)
    moves = np.abs(np.diff(image, axis=1)).mean((1, 2)) + np.abs(np.diff(image, axis=2)).mean((1, 2))
    np.testing.assert_allclose(np.exp(found[6:9]) - 0.01, moves, atol=1e-5)
    np.testing.assert_allclose(
        np.exp(found[9:]) - 0.01, np.abs(np.diff(image, axis=0)).mean((1, 2)), atol=1e-5
    )
    assert look_of(torch.zeros(2, 1, 4, 4)).shape == (2, 3)


@pytest.mark.parametrize(("share", "n"), [(0.05, 19), (0.05, 60), (0.2, 30)])
def test_limit_keeps_false_alarms_below_what_was_asked(share: float, n: int):
    training, alarms = seen(300), []
    for seed in range(60):
        own = fit_familiarity(training, seen(n, seed=100 + seed), ABOUT, share)
        alarms.append((own.score(seen(400, seed=1000 + seed)) > 1).mean())
    assert np.mean(alarms) == pytest.approx(share, abs=0.4 * share)  # n >= 19 makes it nearly exact
    assert np.mean(alarms) <= share * 1.2


@pytest.mark.parametrize(
    ("training", "others", "share", "said"),
    [
        (seen(19), seen(50), 0.05, "too few"),
        (seen(50), seen(18), 0.05, "at least 20 and 19"),
        (seen(50), seen(50), 1.5, "share between 0 and 1"),
        (
            Seen(np.ones((50, 4)), np.ones((50, 3))),
            Seen(np.ones((50, 4)), np.ones((50, 3))),
            0.05,
            "does not vary",
        ),
    ],
)
def test_what_cannot_be_fitted_says_so(training, others, share, said):
    with pytest.raises(HemfError, match=said):
        fit_familiarity(training, others, ABOUT, share)


def config(known: Familiarity) -> dict:
    return json.loads(json.dumps({"hemf": {KEY: known.to_config()}}))


def test_it_is_read_as_it_was_written(known: Familiarity, tmp_path):
    known.save(tmp_path)
    again = Familiarity.load(tmp_path, config(known))
    assert again is not None
    for name in ("basis", "mean", "look_mean", "look_scale"):
        assert np.array_equal(getattr(again, name), getattr(known, name))
    assert (again.limit, again.false_alarms, again.fitted_on) == (
        known.limit,
        0.05,
        {**ABOUT, "train": 200, "n": 99},
    )
    assert Familiarity.load(tmp_path, {"hemf": {}}) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"limit": 0},
        {"limit": float("nan")},
        {"limit": "far"},
        {"method": "oracle"},
        {"false_alarms": 2},
        {"dimensions": [12, 3, 5]},
        {"dimensions": [12]},
        {"sha256": "0" * 64},
        {"fitted_on": []},
        {"fitted_on": {"train": "many", "n": 1, "split": "val"}},
    ],
)
def test_a_damaged_entry_is_one_line(known: Familiarity, tmp_path, damage):
    known.save(tmp_path)
    given = config(known)
    given["hemf"][KEY] |= damage
    with pytest.raises(HemfError, match=r"is damaged .*repeat hemf ood"):
        Familiarity.load(tmp_path, given)


def test_an_entry_that_is_no_mapping_or_has_no_file_is_one_line(known: Familiarity, tmp_path):
    for own in ({KEY: 3}, {KEY: known.to_config()}):
        with pytest.raises(HemfError, match="is damaged"):
            Familiarity.load(tmp_path, {"hemf": own})


def test_a_stranger_may_not_swap_the_arrays(known: Familiarity, tmp_path):
    known.save(tmp_path)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[-1] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(HemfError, match="not the one that"):
        Familiarity.load(tmp_path, config(known))


def test_the_line_counts_and_names():
    assert unfamiliar_line(["a.png (2.00)"], 1).startswith("warning: 1 of 1 image is unlike")
    said = unfamiliar_line([f"{i}.png" for i in range(7)], 9)
    assert "7 of 9 images are unlike" in said
    assert said.endswith("4.png and 2 more")
