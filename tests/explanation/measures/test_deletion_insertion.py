"""Deletion and insertion, against a loop over pixels on a model whose probability is known."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from hemf.explanation.measures.deletion_insertion import (
    STEPS,
    blur,
    deletion_insertion,
    enlarged,
    pixel_order,
)


class Corner(nn.Module):
    """The logit of class 1 is the sum of the top left quarter, that of class 0 is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.05))

    def forward_features(self, x: Tensor) -> Tensor:
        return self.scale * x[..., : x.shape[2] // 2, : x.shape[3] // 2].sum((1, 2, 3))[:, None]

    def forward_head(self, x: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(x), x], dim=1)


def by_hand(before: Tensor, after: Tensor, heat: np.ndarray) -> float:
    """Area under the curve, changing pixels one portion after the other; the heat has no two equal pixels."""
    places = sorted(np.ndindex(heat.shape), key=lambda place: -heat[place])
    image, done, curve = before.clone(), 0, []
    for step in range(STEPS + 1):
        until = round(step * len(places) / STEPS)
        for row, column in places[done:until]:
            image[:, row, column] = after[:, row, column]
        done = until
        logit = 0.05 * float(image[:, :4, :8].sum())
        curve.append(1 / (1 + np.exp(-logit)))
    return sum((a + b) / 2 for a, b in pairwise(curve)) / STEPS


def test_areas_are_those_of_changing_pixel_after_pixel():
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((3, 8, 16), np.float32))
    heat = rng.permutation(128).reshape(8, 16) / 128
    found = deletion_insertion(Corner(), image, 1, {"mine": heat}, rng)
    assert found["deletion"]["mine"] == pytest.approx(by_hand(image, torch.zeros_like(image), heat), abs=1e-6)
    assert found["insertion"]["mine"] == pytest.approx(by_hand(blur(image), image, heat), abs=1e-6)


def test_heat_on_the_evidence_beats_heat_elsewhere():
    image = torch.ones(3, 16, 16)
    image[:, 1::2, ::2] = image[:, ::2, 1::2] = 3
    right, wrong = np.zeros((2, 2)), np.zeros((2, 2))
    right[0, 0], wrong[1, 1] = 1, 1
    found = deletion_insertion(Corner(), image, 1, {"right": right, "wrong": wrong}, np.random.default_rng(0))
    assert found["deletion"]["right"] < found["deletion"]["wrong"] - 0.2
    other = deletion_insertion(
        Corner(), -image, 0, {"right": right, "wrong": wrong}, np.random.default_rng(0)
    )
    assert other["deletion"]["right"] < other["deletion"]["wrong"] - 0.2


@given(heat=arrays(np.float32, (4, 5), elements=st.sampled_from([0.0, 0.5, 1.0])), seed=st.integers(0, 9))
def test_the_order_goes_from_hot_to_cold_and_holds_every_pixel_once(heat, seed):
    order = pixel_order(heat, np.random.default_rng(seed)).numpy()
    assert sorted(order.ravel()) == list(range(20))
    along = heat.ravel()[np.argsort(order.ravel())]
    assert (np.diff(along) <= 0).all()


def test_equal_pixels_go_in_random_order():
    orders = [pixel_order(np.ones((6, 6)), np.random.default_rng(seed)).numpy() for seed in range(200)]
    assert np.mean(orders, axis=0) == pytest.approx(17.5, abs=3.5)  # 4.8 standard errors
    assert not np.array_equal(orders[0], orders[1])


def test_enlarging_interpolates_and_keeps_batches_apart():
    maps = np.array([[[0.0, 1.0]], [[1.0, 1.0]]], np.float32)
    found = enlarged(maps, (2, 4))
    np.testing.assert_allclose(found[0], [[0, 0.25, 0.75, 1]] * 2)
    np.testing.assert_allclose(found[1], 1)
    np.testing.assert_array_equal(enlarged(maps[0], (2, 4)), found[0])


@pytest.mark.parametrize("size", [(32, 32), (8, 16), (224, 96)])
def test_blur_keeps_even_images_and_smooths_others(size):
    assert torch.allclose(blur(torch.full((3, *size), 0.7)), torch.tensor(0.7), atol=1e-5)
    noise = torch.randn(3, *size, generator=torch.Generator().manual_seed(0))
    assert blur(noise).std() < 0.9 * noise.std()
