"""One server of a small model for all tests that do not end it, and images to send."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving_model import Server, dicom, save, started


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """Folder of the small model."""
    return save(tmp_path_factory.mktemp("served") / "lesions")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> list[Path]:
    """Twelve images of noise, of several formats and sizes, one of them DICOM."""
    import numpy as np
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(11):
        shade = rng.integers(0, 200)
        pixels = (rng.integers(0, 56, (40 + 3 * i, 48, 3)) + shade).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.{('png', 'jpg', 'tif')[i % 3]}")
    (folder / "11.dcm").write_bytes(dicom(rng.integers(0, 4096, (50, 60)).astype(np.uint16)))
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def server(model: Path, tmp_path_factory) -> Iterator[Server]:
    """One server for all tests that do not end it."""
    with started(
        tmp_path_factory.mktemp("server"), str(model), "--max-megabytes", "4", "--queue", "64"
    ) as one:
        yield one


@pytest.fixture(scope="session")
def files_of() -> Callable[[list[Path]], list[tuple[str, tuple[str, bytes]]]]:
    """Makes a form of image files, as ``requests`` takes it."""

    def form(paths: list[Path]) -> list[tuple[str, tuple[str, bytes]]]:
        return [("images", (path.name, path.read_bytes())) for path in paths]

    return form
