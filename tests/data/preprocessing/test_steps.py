"""Preprocessing without torch gives the bits of that with it; timm's is in test_transforms.py."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hemf.data.preprocessing import InputSpec, pixels_of, standardised
from hemf.data.transforms import eval_pixels, normaliser


@given(
    channels=st.sampled_from([1, 3]),
    crop_mode=st.sampled_from(["center", "border", "squash"]),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    means=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    stds=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
)
def test_arrays_are_standardised_as_tensors_are_bit_for_bit(channels, crop_mode, size, means, stds):
    spec = InputSpec(
        (channels, 32, 48), 0.875, crop_mode, "bicubic", tuple(means[:channels]), tuple(stds[:channels])
    )
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    images = [Image.fromarray(turned).convert(spec.image_mode) for turned in (pixels, pixels[::-1])]
    ours = standardised(np.stack([pixels_of(image, spec) for image in images]), spec)
    theirs = normaliser(spec)(torch.stack([eval_pixels(spec)(image) for image in images]))
    assert ours.dtype == np.float32
    assert torch.equal(torch.from_numpy(ours), theirs.contiguous())


def test_the_thinnest_image_keeps_a_pixel():
    spec = InputSpec((3, 32, 32), 1.0, "border", "bilinear", (0.5,) * 3, (0.5,) * 3)
    assert pixels_of(Image.new("RGB", (90, 1), "white"), spec).max() == 255
