"""Images a second of one core, from files to a training batch, beside torchvision's ImageFolder with PIL.

python benchmarks/data_path.py --data ../shared/data

Writes benchmarks/results/data-path.json. The paper's transforms (random resized crop to 224, flip,
normalise), batches of 32, one thread, CPU time of the process, everything once a round, medians.
"""

import argparse
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch.utils.data import DataLoader
from torchvision import transforms as v1
from torchvision.datasets import ImageFolder

from common import DATA, FOLDERS, cpu_seconds, described
from hemf.config.run_config import RunConfig
from hemf.core.files import write_json
from hemf.data.dataset import DataSet, Sample
from hemf.data.image.jpeg import jpeg_pixels, read_pixels
from hemf.data.image.read import find_images, read_image
from hemf.data.loading.cache import DecodedImages, decoded_images
from hemf.data.loading.datamodule import ImageData
from hemf.data.preprocessing import InputSpec
from hemf.data.tensor_transforms import RandomCrop, as_pixels
from hemf.data.transforms import normaliser

BATCH = 32
CLASSES = ["a", "b"]


def chosen(folder: Path, count: int) -> DataSet:
    """Some images of a folder as a data set of training images."""
    paths = find_images(folder)
    random.Random(0).shuffle(paths)
    names = [path.relative_to(folder).as_posix() for path in paths[:count]]
    samples = [Sample(name, CLASSES[i % 2], split="train") for i, name in enumerate(names)]
    return DataSet("benchmark", CLASSES, samples, folder, {})


def image_folder(data: DataSet, out: Path) -> DataLoader:
    """torchvision's own loader of the same images, with the transforms of the paper's code."""
    for number, sample in enumerate(data.samples):
        link = out / sample.label / f"{number}{Path(sample.path).suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(data.path(sample).resolve())
    steps = [v1.RandomResizedCrop(224), v1.RandomHorizontalFlip(), v1.ToTensor()]
    dataset = ImageFolder(out, v1.Compose([*steps, v1.Normalize([0.5] * 3, [0.5] * 3)]))
    return DataLoader(dataset, BATCH, shuffle=True)


def hemf_batches(data: DataSet, cache: DecodedImages | None, floats: bool) -> Callable[[], None]:
    """One epoch of hemf's training batches, as floats or as the pixels that go to a GPU."""
    images = ImageData(data, RunConfig.of("paper", workers=0, batch_size=BATCH), cache)
    loader = images.train_dataloader()

    def epoch() -> None:
        for batch in loader:
            if floats:
                images.on_after_batch_transfer(batch, 0)

    return epoch


def in_turn(works: dict[str, Callable[[], Any]], count: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds an image of every work, by round; a first round warms up and does not count."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            seconds = cpu_seconds(work)
            if number:
                found[name].append(seconds / count * 1e6)
    return found


def epochs(data: DataSet, rounds: int) -> dict[str, Any]:
    """Whole epochs: ImageFolder's and ours."""
    with tempfile.TemporaryDirectory() as scratch:
        cache = decoded_images(data, "RGB", Path(scratch) / "cache", Console(quiet=True))
        baseline = image_folder(data, Path(scratch) / "tree")
        works = {
            "ImageFolder + PIL, to floats": lambda: [None for _ in baseline],
            "hemf, to floats on this core": hemf_batches(data, None, floats=True),
            "hemf, to pixels for a GPU": hemf_batches(data, None, floats=False),
            "hemf --cache, to floats on this core": hemf_batches(data, cache, floats=True),
            "hemf --cache, to pixels for a GPU": hemf_batches(data, cache, floats=False),
        }
        taken = in_turn(works, len(data.samples), rounds)
    base = taken["ImageFolder + PIL, to floats"]
    return {
        name: {
            "images_per_second": 1e6 / statistics.median(times),
            "ratio": statistics.median(b / t for b, t in zip(base, times, strict=True)),
            "rounds_us": times,
        }
        for name, times in taken.items()
    }


def stages(data: DataSet, rounds: int) -> dict[str, float]:
    """Microseconds an image of single steps, ours beside those they replace."""
    paths = [data.path(sample) for sample in data.samples[:200]]
    images = [read_image(path) for path in paths]
    pixels = [as_pixels(image) for image in images]
    how = ((224, 224), (0.08, 1.0), (3 / 4, 4 / 3))
    theirs = v1.RandomResizedCrop(*how)
    ours = RandomCrop(*how, interpolation=v1.InterpolationMode.BILINEAR)
    batch = torch.randint(0, 256, (BATCH, 224, 224, 3), dtype=torch.uint8)
    crop = theirs(images[0])
    floats = v1.Compose([v1.ToTensor(), v1.Normalize([0.5] * 3, [0.5] * 3)])
    normalise = normaliser(InputSpec.from_config(RunConfig.of("paper")))
    works = {
        "decode, Pillow": lambda: [read_image(path) for path in paths],
        "decode, hemf": lambda: [read_pixels(path) for path in paths],
        "crop and resize, PIL": lambda: [theirs(image) for image in images],
        "crop and resize, hemf": lambda: [ours(one) for one in pixels],
        "to normalised floats, torchvision": lambda: [floats(crop) for _ in paths],
        "to normalised floats, hemf": lambda: [
            normalise(batch.permute(0, 3, 1, 2)) for _ in range(len(paths) // BATCH)
        ],
    }
    taken = in_turn(works, len(paths), rounds)
    taken["to normalised floats, hemf"] = [
        t * len(paths) / (len(paths) // BATCH * BATCH) for t in taken["to normalised floats, hemf"]
    ]
    return {name: statistics.median(times) for name, times in taken.items()}


def decoder_agreement(folder: Path) -> dict[str, int]:
    """Of all images, how many the fast decoder takes, and of those how many have Pillow's pixels."""
    counts = {"images": 0, "fast": 0, "same_pixels": 0}
    for path in find_images(folder):
        pixels = jpeg_pixels(path, "RGB")
        counts["images"] += 1
        if pixels is not None:
            counts["fast"] += 1
            counts["same_pixels"] += torch.equal(pixels, as_pixels(read_image(path)))
    return counts


def crop_differences(data: DataSet) -> dict[str, float]:
    """How far the resized crops are from PIL's, in levels of 255."""
    how = ((224, 224), (0.08, 1.0), (3 / 4, 4 / 3))
    theirs = v1.RandomResizedCrop(*how)
    ours = RandomCrop(*how, interpolation=v1.InterpolationMode.BILINEAR)
    most, means = 0, []
    for number, sample in enumerate(data.samples):
        image = read_image(data.path(sample))
        torch.manual_seed(number)
        expected = as_pixels(theirs(image)).int()
        torch.manual_seed(number)
        apart = (ours(as_pixels(image)).int() - expected).abs()
        most, means = max(most, apart.max().item()), [*means, apart.float().mean().item()]
    return {"largest_level": most, "mean_level": float(np.mean(means))}


def main() -> None:
    """Read the command line, measure, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with isic2018 and covid-ct")
    parser.add_argument("--images", type=int, default=640, help="images of each data set")
    parser.add_argument("--rounds", type=int, default=7, help="times each is measured")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/data-path.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for name, folder in FOLDERS.items():
        data = chosen(arguments.data / folder, arguments.images)
        results[name] = {
            "images": len(data.samples),
            "epochs": epochs(data, arguments.rounds),
            "stages_us": stages(data, arguments.rounds),
            "decoder": decoder_agreement(arguments.data / folder),
            "crops": crop_differences(data),
        }
    command = f"python benchmarks/data_path.py --images {arguments.images} --rounds {arguments.rounds}"
    write_json(arguments.out, {"command": command, **described(), "data": results})


if __name__ == "__main__":
    main()
