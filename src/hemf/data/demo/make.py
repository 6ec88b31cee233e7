"""``hemf data demo``: a data set drawn here, to try hemf without downloading anything."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from hemf.core.errors import HemfError
from hemf.core.text import counted

if TYPE_CHECKING:
    from hemf.data.dataset import Sample

SOURCE = "hemf data demo"
PICTURES = 2  # of each lesion


def demo(out: str = "prepared/demo", *, lesions: int = 100, size: int = 96, seed: int = 0) -> None:
    """Make a small data set of lesions to try hemf on.

    The four classes are two outlines (oval, lobed) times two fine textures (globular, reticular): some pairs
    of classes differ only in the outline, some only in the texture, and none in colour, size or brightness.
    Each lesion has two pictures, which stay on one side of the split (70 % train, 10 % val, 20 % test).
    The folder appears whole or not at all, in place of an earlier demo if there is one.

    Args:
        out: folder to write: images/, manifest.csv and dataset.json.
        lesions: lesions of each class; each has two pictures.
        size: height and width of the pictures in pixels.
        seed: seed of the pictures and of the split.

    Raises:
        HemfError: too few lesions to split, pictures too small, a negative seed, or a folder in use.
    """
    from rich.console import Console
    from rich.progress import track

    from hemf.core.files import whole_folder
    from hemf.data.dataset import DataSet, Sample
    from hemf.data.demo.lesions import CLASSES
    from hemf.data.manifest import WRITTEN, write_data_set
    from hemf.data.splits import split_data

    if lesions < 5:
        raise HemfError(f"{counted(lesions, 'lesion')} a class cannot be split; give --lesions 5 or more")
    if lesions > 20_000 or size > 2_048:
        raise HemfError(
            f"{counted(lesions, 'lesion')} of {size} pixels are too many; give up to 20000, and --size up "
            "to 2048"
        )
    if size < 32:
        raise HemfError(f"pictures of {size} pixels hold no texture; give --size 32 or more")
    if seed < 0:
        raise HemfError(f"seed {seed} is below 0; give --seed 0 or more")
    folder = Path(out)
    _check_free(folder)
    samples = [
        Sample(f"images/{name}/{group}-{picture}.png", name, group)
        for name in CLASSES
        for group in (f"{name}-{number:04d}" for number in range(1, lesions + 1))
        for picture in range(1, PICTURES + 1)
    ]
    info = {"source": SOURCE, "licence": "drawn by hemf; free of rights", "size": size, "seed": seed}
    console = Console(stderr=True)
    with whole_folder(folder, WRITTEN) as staging:
        data = DataSet(folder.name or "demo", list(CLASSES), samples, staging, info)
        data = split_data(data, "grouped", seed=seed)
        for sample in track(samples, "drawing lesions", console=console, transient=True):
            _draw(staging, sample, size, seed)
        write_data_set(data, staging)
    counts = ", ".join(f"{sum(row.values())} {split}" for split, row in data.counts().items())
    Console().print(
        f"{counted(len(samples), 'image')} of {counted(data.groups, 'lesion')} in "
        f"{counted(len(CLASSES), 'class', 'classes')} ({counts}) in {folder}\n"
        f"next: hemf data info {shlex.quote(str(folder))}",
        highlight=False,
        soft_wrap=True,
    )


def _check_free(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier demo."""
    import json

    if folder.exists() and not folder.is_dir():
        raise HemfError(f"{folder} is a file; give a folder to write")
    about = folder / "dataset.json"
    try:
        earlier = about.is_file() and json.loads(about.read_text(encoding="utf-8")).get("source") == SOURCE
    except (ValueError, AttributeError):
        earlier = False
    if folder.is_dir() and any(folder.iterdir()) and not earlier:
        raise HemfError(f"{folder} is not empty and holds no demo; give a new folder, or empty it")


def _draw(folder: Path, sample: "Sample", size: int, seed: int) -> None:
    """Draw one picture; its random numbers depend on the seed and its name alone."""
    import zlib

    import numpy as np

    from hemf.data.demo.lesions import Lesion, photograph

    outline, texture = sample.label.split("-")
    lesion = Lesion.drawn(outline, texture, np.random.default_rng([seed, zlib.crc32(sample.group.encode())]))
    image = photograph(lesion, size, np.random.default_rng([seed, zlib.crc32(sample.path.encode())]))
    file = folder / sample.path
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)
