"""A data set and a model small enough that an epoch takes a blink."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hemf
from hemf.training.run import Run

TINY = {
    "model": "test_efficientnet",  # timm's, with BatchNorm, for tests
    "image_size": 32,
    "epochs": 2,
    "batch_size": 8,
    "lr": 3e-3,
    "precision": "fp32",
    "accelerator": "cpu",
    "workers": 0,
}


@pytest.fixture(scope="session")
def colours(tmp_path_factory) -> Path:
    """Noise with a red, green or blue cast, in train/val/test folders: 50, 20 and 20 images."""
    root = tmp_path_factory.mktemp("data") / "colours"
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 8), ("test", 8)):
        for channel, name in enumerate(("red", "green", "blue")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count if name != "blue" else count // 2):
                pixels = rng.integers(0, 160, (40, 48, 3))
                pixels[..., channel] += 60
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02}.png")
    return root


@pytest.fixture
def tiny(colours) -> dict[str, Any]:
    """Options of the smallest run."""
    return TINY | {"data": str(colours)}


@pytest.fixture
def train(tiny, tmp_path) -> Callable[..., Run]:
    """``hemf.train`` on the colours with a tiny model, into a folder of this test."""

    def train(**options) -> Run:
        return hemf.train(**tiny | {"out": str(tmp_path / "runs"), "name": "run"} | options)

    return train
