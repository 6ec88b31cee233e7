"""Energy inside a mask and the pointing game, against brute force; masks by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from hemf.core.errors import HemfError, UnreadableImage
from hemf.explanation.measures.masks import find_masks, read_mask
from hemf.explanation.measures.pointing_game import centre_prior, energy_inside, points_inside

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=6)
HEATS = SHAPES.flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
)


@given(heat=HEATS, data=st.data())
def test_both_measures_are_what_counting_pixels_gives(heat, data):
    mask = data.draw(arrays(bool, heat.shape))
    inside = total = hits = ties = 0
    for row, column in np.ndindex(heat.shape):
        total += float(heat[row, column])
        inside += float(heat[row, column]) * bool(mask[row, column])
        if heat[row, column] == max(float(value) for value in heat.flat):
            ties += 1
            hits += bool(mask[row, column])
    assert energy_inside(heat, mask) == pytest.approx(inside / total if total else 0)
    assert points_inside(heat, mask) == pytest.approx(hits / ties if total else 0)


@given(heat=HEATS, data=st.data())
def test_the_scale_of_the_heat_does_not_matter_and_mask_and_its_outside_share_it(heat, data):
    mask = data.draw(arrays(bool, heat.shape))
    assert energy_inside(4 * heat, mask) == pytest.approx(energy_inside(heat, mask))
    assert energy_inside(heat, mask) + energy_inside(heat, ~mask) == pytest.approx(1.0 if heat.any() else 0.0)
    assert points_inside(heat, mask) + points_inside(heat, ~mask) == pytest.approx(1.0 if heat.any() else 0.0)


def test_an_even_map_has_the_masks_share_of_the_area():
    mask = np.zeros((10, 20), bool)
    mask[:3, 5:9] = True
    assert energy_inside(np.ones((10, 20)), mask) == points_inside(np.ones((10, 20)), mask) == 12 / 200


def test_the_centre_prior_points_at_the_centre():
    prior = centre_prior(6, 9)
    assert prior.shape == (6, 9)
    assert set(zip(*np.nonzero(prior == prior.max()), strict=True)) == {(2, 4), (3, 4)}
    np.testing.assert_allclose(prior, prior[::-1, ::-1])
    assert prior[3, 0] == pytest.approx(np.exp(-0.5 * (0.5 / 1.5) ** 2 - 0.5 * (4 / 2.25) ** 2))


def test_masks_are_found_by_the_name_of_their_image(tmp_path):
    for name in ("a_segmentation.png", "deep/b.png", "c_mask.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no mask")
    found = find_masks(tmp_path)
    assert {name: file.name for name, file in found.items()} == {
        "a": "a_segmentation.png",
        "b": "b.png",
        "c": "c_mask.jpg",
    }
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(HemfError, match="masks of the same image"):
        find_masks(tmp_path)


def test_a_folder_without_masks_is_an_error(tmp_path):
    with pytest.raises(HemfError, match="no masks in"):
        find_masks(tmp_path)
    with pytest.raises(HemfError, match="no folder"):
        find_masks(tmp_path / "gone")


def test_a_mask_is_stretched_to_its_image_and_white_is_inside(tmp_path):
    pixels = np.zeros((2, 3), np.uint8)
    pixels[0, 2], pixels[1, 0] = 255, 100
    Image.fromarray(pixels).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (3, 2)), pixels == 255)
    twice = np.repeat(np.repeat(pixels == 255, 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (6, 4)), twice)
    (tmp_path / "m.png").write_bytes(b"damaged")
    with pytest.raises(UnreadableImage):
        read_mask(tmp_path / "m.png", (3, 2))
