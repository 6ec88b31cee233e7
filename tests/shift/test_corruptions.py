"""Corruptions: what every one of them promises, on images of any size and kind."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hemf.core.errors import HemfError
from hemf.shift.corruptions import CORRUPTIONS, STEPS

RESIZING = {"crop", "border"}


def scene(width: int, height: int, mode: str) -> Image.Image:
    """A soft disc in colour on a gradient, with texture."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    disc = np.hypot(x - 0.4, y - 0.5) < 0.25
    texture = 12 * np.sin(40 * x) * np.cos(33 * y)
    channels = [90 + 80 * x + texture, 120 - 60 * disc + texture, 150 - 40 * y - 50 * disc]
    image = Image.fromarray(np.stack(channels, -1).clip(0, 255).astype(np.uint8))
    return image.convert(mode)


@pytest.mark.parametrize("name", CORRUPTIONS)
@settings(max_examples=8)
@given(st.integers(5, 90), st.integers(5, 90), st.sampled_from(["RGB", "L"]), st.integers(1, STEPS))
def test_kind_is_kept_and_the_seed_decides(name, width, height, mode, step):
    image = scene(width, height, mode)
    before = image.tobytes()
    found = CORRUPTIONS[name].apply(image, step, (3, step, 0))
    assert found.mode == mode
    assert name in RESIZING or found.size == image.size
    assert found.tobytes() == CORRUPTIONS[name].apply(image, step, (3, step, 0)).tobytes()
    assert image.tobytes() == before, "the given image is left as it was"
    assert CORRUPTIONS[name].apply(image, 0, (3, 0, 0)) is image


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - RESIZING))
def test_each_step_changes_an_image_more(name):
    image = scene(400, 300, "RGB")
    apart = [
        np.abs(np.asarray(CORRUPTIONS[name].apply(image, step, (0, 1, 2)), float) - np.asarray(image)).mean()
        for step in range(STEPS + 1)
    ]
    assert apart[0] == 0 < apart[1]
    assert all(later > earlier for earlier, later in pairwise(apart))


@pytest.mark.parametrize(("name", "of"), [("crop", lambda a: 1 - a), ("border", lambda a: 1 + a)])
def test_size_changes_by_the_amount(name, of):
    one = CORRUPTIONS[name]
    for step, amount in enumerate(one.amounts, 1):
        found = one.apply(scene(400, 300, "RGB"), step, (0,))
        assert np.allclose(found.size, (400 * of(amount), 300 * of(amount)), atol=2)


def test_every_one_has_five_amounts_and_words():
    assert len(CORRUPTIONS) >= 15
    for one in CORRUPTIONS.values():
        assert len(one.amounts) == STEPS
        assert one.unit
    with pytest.raises(HemfError, match="did you mean blur"):
        CORRUPTIONS.find("blurr")
