"""Real images and golden numbers; small images, a made run and the smallest training for other tests."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

import hemf
from hemf.data.manifest import write_data_set

if TYPE_CHECKING:
    from hemf.runs.folder import Run

settings.register_profile("hemf", deadline=None)  # a busy machine is no failure
settings.load_profile("hemf")

# Nearly all that collection makes stays to the end; looking for garbage in it took a third of its time.
gc.disable()

SHARED = Path(__file__).parents[2] / "shared"


SHARED_RUNS = (
    *("tests/test_zoo_training.py", "tests/hostile/test_hostile.py", "tests/bench/test_suite.py"),
    "tests/serving/",
)
"""Files and folders whose tests share what takes long to make."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the slow tests to several processes first, so that none goes on alone with a long one."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal tests out one by one to several processes, but those of shared runs to one, and first."""
    from xdist.scheduler import LoadScopeScheduling

    class OneByOne(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((one for one in SHARED_RUNS if file.startswith(one)), nodeid)

    return OneByOne(config, log)


def pytest_collection_finish() -> None:
    """Collect garbage from here on, but not among what is there already."""
    gc.freeze()
    gc.enable()


def _folder(variable: str, default: Path) -> Path:
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set {variable} to run the tests that need it")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with ``covid-ct`` and ``isic2018`` in their releases' layouts."""
    return _folder("HEMF_TEST_DATA", SHARED / "data")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder with the golden numbers of the published implementations."""
    return _folder("HEMF_TEST_GOLDEN", SHARED / "golden")


@pytest.fixture
def made_run(tmp_path: Path) -> Path:
    """A run's folder with a small untrained model of three classes and 24 images of noise in three splits.

    The training images are of patient p0, each other of a patient of its own, but for those of p5, who is in
    training and in test. The images lie in ``tmp_path/images``.
    """
    import numpy as np
    import timm
    import torch
    from PIL import Image

    from hemf.config.run_config import RunConfig
    from hemf.data.dataset import DataSet, Sample
    from hemf.data.preprocessing import InputSpec
    from hemf.models.hub import save_model

    rng, samples = np.random.default_rng(0), []
    for i in range(24):
        label, split = "abc"[i % 3], ("train", "val", "test", "test")[i % 4]
        file = tmp_path / "images" / f"{i:02d} 50%.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40 + i, 48, 3), np.uint8)).save(file)
        group = "p5" if i in (4, 6) else "p0" if split == "train" else f"{split} {i}"
        samples.append(Sample(file.name, label, group, split))
    run, config = tmp_path / "runs" / "made", RunConfig.of(image_size=32, model="test_resnet", data="images")
    data = DataSet(
        "noise", list("abc"), samples, tmp_path / "images", {"split": {"method": "grouped", "seed": 0}}
    )
    write_data_set(data, run)
    config.save(run / "config.yaml")
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    spec = InputSpec.from_config(config).to_pretrained_cfg()
    save_model(
        model,
        run / "model",
        architecture="test_resnet",
        model_args={},
        classes=data.classes,
        pretrained_cfg=spec,
    )
    return run


TINY = {
    "recipe": "paper",
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
    import numpy as np
    from PIL import Image

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
def train(tiny, tmp_path) -> "Callable[..., Run]":
    """``hemf.train`` on the colours with a tiny model, into a folder of this test."""

    def train(**options) -> "Run":
        return hemf.train(**tiny | {"out": str(tmp_path / "runs"), "name": "run"} | options)

    return train


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a screen; where there is none the tests with it are skipped."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()
