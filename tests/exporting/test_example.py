"""The reader that lies in every export sees what hemf sees, whatever the image and the input."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import hemf.exporting
from hemf.data.image.read import read_image
from hemf.data.preprocessing import InputSpec, pixels_of, standardised

EXAMPLE = Path(hemf.exporting.__file__).with_name("example.py")


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(5, 200), st.integers(5, 200)),
    target=st.tuples(st.sampled_from([32, 64, 96]), st.sampled_from([32, 64, 96])),
    crop_pct=st.sampled_from([0.5, 0.875, 0.95, 1.0]),
    crop_mode=st.sampled_from(["center", "border", "squash"]),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
    channels=st.sampled_from([1, 3]),
    mode=st.sampled_from(["RGB", "L", "RGBA", "LA", "P"]),
    orientation=st.integers(1, 8),
)
def test_an_image_becomes_the_very_same_input(
    tmp_path_factory, size, target, crop_pct, crop_mode, interpolation, channels, mode, orientation
):
    folder = tmp_path_factory.mktemp("example")
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels]
    spec = InputSpec((channels, *target), crop_pct, crop_mode, interpolation, mean, std)
    config = {"pretrained_cfg": spec.to_pretrained_cfg(), "hemf": {}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "example.py").write_text(EXAMPLE.read_text())
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).convert(mode).save(folder / "image.png", exif=exif)
    theirs = runpy.run_path(str(folder / "example.py"))["standardised"](folder / "image.png")
    image = read_image(folder / "image.png", spec.image_mode)
    assert np.array_equal(theirs, standardised(pixels_of(image, spec)[None], spec)[0])


def test_it_is_short():
    assert len(EXAMPLE.read_text().splitlines()) < 90


@pytest.mark.parametrize("name", ["torch", "timm", "hemf"])
def test_it_imports_torch_only_to_run_a_torch_program(name: str):
    imports = [
        line for line in EXAMPLE.read_text().splitlines() if line.lstrip().startswith(("import", "from"))
    ]
    assert [line for line in imports if name in line] == (["    import torch"] if name == "torch" else [])
