"""Strips, images very much longer than wide, take no more memory than their pixels, in every transform."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from hemf.config.run_config import RunConfig
from hemf.data.image.strips import LONGEST, central_part, is_strip, shrink
from hemf.data.preprocessing import InputSpec, centred
from hemf.data.preprocessing.spec import CROP_MODES
from hemf.data.tensor_transforms import as_pixels
from hemf.data.transforms import eval_transform, train_transform
from hemf.explanation.placement import seen_box

SIZES = [(60000, 1), (1, 60000), (300_000, 2), (2, 300_000), (101, 1)]


def spec(mode: str, size: tuple[int, int] = (224, 224)) -> InputSpec:
    return InputSpec((3, *size), 0.875, mode, "bilinear", (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", CROP_MODES)
@pytest.mark.parametrize("shape", [(224, 224), (96, 224)])
def test_a_strip_becomes_an_input_in_little_memory(size, mode, shape):
    resize, _ = centred(spec(mode, shape))
    image = Image.new("RGB", size, (10, 20, 30))
    resized = resize(image)
    assert resized.width * resized.height <= 300**2 * LONGEST
    assert eval_transform(spec(mode, shape))(image).shape == (3, *shape)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [(0.08, 1.0), (1.0, 1.0)])
def test_training_takes_strips(size, scale):
    config = RunConfig.of(crop_scale=scale, rotate=10, image_size=64)
    pixels = as_pixels(Image.new("RGB", size, (10, 20, 30)))
    assert train_transform(config)(pixels).shape == (3, 64, 64)


def test_what_is_seen_of_a_strip_is_its_middle():
    values = np.zeros((10, 30001), np.uint8)
    values[:, 14996:15006] = 255
    image = Image.fromarray(values).convert("RGB")
    middle = eval_transform(spec("center"))(image)[0]
    assert middle[:, 40:-40].min() == 1
    left, _, right, _ = seen_box(spec("center"), image.size)
    assert (left + right) / 2 == pytest.approx(15000.5, abs=1)
    assert right - left == pytest.approx(10 * 0.875, abs=0.1)


@pytest.mark.parametrize("size", [(100, 1), (7, 650), (300, 200)])
def test_images_that_are_no_strips_are_resized_as_ever(size):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8))
    assert not is_strip(size)
    assert central_part(size) == (0, 0, *size)
    box = Image.Resampling.BOX
    assert shrink(image, (16, 16), box).tobytes() == image.resize((16, 16), box).tobytes()
    resize, _ = centred(spec("squash"))
    assert resize(image).tobytes() == image.resize((256, 256), Image.Resampling.BILINEAR).tobytes()


def test_a_file_of_141_bytes_costs_no_gigabyte(tmp_path):
    file = io.BytesIO()
    Image.new("L", (60000, 1), 7).save(file, "PNG", optimize=True)
    image = Image.open(file).convert("RGB")
    tracemalloc.start()
    eval_transform(spec("center"))(image)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
