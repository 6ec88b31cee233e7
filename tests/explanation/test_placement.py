"""A heat map put back on the original image, against where the model's own transform takes each pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hemf.data.preprocessing import InputSpec
from hemf.data.transforms import eval_transform
from hemf.explanation.placement import place, seen_box


def spec(height: int, width: int, mode: str = "center", crop_pct: float = 0.875) -> InputSpec:
    return InputSpec((1, height, width), crop_pct, mode, "bilinear", (0.0,), (1.0,))


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("sides", [(64, 64), (64, 96)])
@pytest.mark.parametrize("size", [(200, 150), (90, 260), (40, 30), (75, 75)])
def test_a_bright_spot_comes_back_to_where_it_was(mode, sides, size):
    transform, there = eval_transform(spec(*sides, mode)), np.array([0.55 * size[0], 0.42 * size[1]])
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    spread = min(size) / 12
    spot = np.exp(-((x - there[0]) ** 2 + (y - there[1]) ** 2) / (2 * spread**2))
    image = Image.fromarray(np.rint(255 * spot).astype(np.uint8))
    heat = place(transform(image)[0].numpy(), spec(*sides, mode), size)
    assert heat.shape == (size[1], size[0])
    centre = np.array([(heat * x).sum(), (heat * y).sum()]) / heat.sum()
    np.testing.assert_allclose(centre, there, atol=0.02 * max(size))


@given(
    width=st.integers(8, 300),
    height=st.integers(8, 300),
    sides=st.tuples(st.sampled_from([32, 64]), st.sampled_from([32, 96])),
    mode=st.sampled_from(["center", "squash", "border"]),
    crop_pct=st.sampled_from([0.5, 0.875, 1.0]),
)
def test_heat_covers_exactly_the_pixels_that_the_model_sees(width, height, sides, mode, crop_pct):
    input_ = spec(*sides, mode, crop_pct)
    left, top, right, bottom = seen_box(input_, (width, height))
    heat = place(np.ones((3, 2), np.float32), input_, (width, height))
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y))
    np.testing.assert_allclose(heat[inside > 1e-3], 1, atol=1e-6)
    assert not heat[inside < -1e-3].any()


def test_nothing_outside_a_central_crop_is_hot():
    heat = place(np.ones((7, 7), np.float32), spec(64, 64), (200, 100))
    assert heat.shape == (100, 200)
    rows, columns = np.flatnonzero(heat.any(1)), np.flatnonzero(heat.any(0))
    assert (rows[0], rows[-1]) == (5, 92)  # rows 4 to 67 of the 73 into which the 100 were shrunk
    assert (columns[0], columns[-1]) == (56, 143)


def test_a_corner_of_the_input_is_a_corner_of_the_crop():
    corner = np.zeros((2, 2), np.float32)
    corner[0, 1] = 1
    heat = place(corner, spec(64, 64, "squash", 1.0), (60, 40))
    assert heat[0, -1] == 1
    assert heat[:20, 30:].mean() > 5 * heat[20:, :30].mean()
    np.testing.assert_allclose(heat.mean(), 0.25, atol=1e-6)
