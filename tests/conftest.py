"""Where the real images and the golden numbers lie, and small images for tests that need none of them."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("hemf", deadline=None)  # a busy machine is no failure
settings.load_profile("hemf")

SHARED = Path(__file__).parents[2] / "shared"


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

    The images' patients are p0 to p5; p5 is in training and in test. The images lie in ``tmp_path/images``.
    """
    import numpy as np
    import timm
    import torch
    from PIL import Image

    from hemf.config import RunConfig
    from hemf.data.manifest import DataSet, Sample
    from hemf.data.transforms import InputSpec
    from hemf.models.hub import save_model

    rng, samples = np.random.default_rng(0), []
    for i in range(24):
        label, split = "abc"[i % 3], ("train", "val", "test", "test")[i % 4]
        file = tmp_path / "images" / f"{i:02d} 50%.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40 + i, 48, 3), np.uint8)).save(file)
        group = "p5" if i in (4, 6) else f"p{('train', 'val', 'test').index(split)}"
        samples.append(Sample(file.name, label, group, split))
    run, config = tmp_path / "runs" / "made", RunConfig.of(image_size=32, model="test_resnet", data="images")
    data = DataSet(
        "noise", list("abc"), samples, tmp_path / "images", {"split": {"method": "grouped", "seed": 0}}
    )
    data.save(run)
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
