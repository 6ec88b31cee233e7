"""A heat map laid over its image."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
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


MEASURE = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from hemf.explanation.overlay import overlay

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

overlay(Image.new("RGB", (64, 64)), np.ones((64, 64), np.float32))
image, heat = Image.new("RGB", (6000, 4000), (9, 99, 199)), np.full((4000, 6000), 0.5, np.float32)
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
overlay(image, heat)
print((memory("VmHWM") - before) * 1024 / (6000 * 4000))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no peaks of memory to reset here")
def test_a_large_image_is_held_once_more_and_not_as_numbers_too():
    found = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert float(found.stdout) < 10  # bytes a pixel: 4 of the picture that is made, the rest does not grow
