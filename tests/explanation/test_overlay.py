"""A heat map laid over its image."""

import numpy as np
from PIL import Image

from hemf.explanation.overlay import overlay


def test_without_heat_it_is_the_image_and_with_heat_the_right_corner_changes():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    assert overlay(image, np.zeros((4, 4))).tobytes() == image.tobytes()
    heat = np.zeros((3, 4), np.float32)
    heat[0, 3] = 1
    changed = (np.asarray(overlay(image, heat)).astype(int) != np.asarray(image)).any(2)
    assert changed[:5, 35:].all()
    assert not changed[:, :20].any()
    assert not changed[20:].any()


def test_grey_images_and_other_sizes_come_out_as_rgb_of_the_images_size():
    image = Image.new("L", (31, 17), 100)
    found = overlay(image, np.ones((2, 2), np.float32))
    assert (found.mode, found.size) == ("RGB", (31, 17))
    assert len(found.getcolors()) == 1
