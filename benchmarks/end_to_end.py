"""``hemf predict`` from files to CSV beside the bare model on images in memory, and the memory it takes.

python benchmarks/end_to_end.py --data ../shared/data

Writes benchmarks/results/end-to-end.json. CPU time of one thread, worker processes included, once the model
is loaded, everything once a round; the ratio is the median of the rounds. Memory is the peak of a process of
its own, for fewer and for more images, with a small model of timm's, so that it ends soon: what could grow is
reading and writing.
``hemf evaluate`` reads its images by the same function.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import hemf
from common import DATA, FOLDERS, cpu_seconds, described
from hemf.core.files import write_json
from hemf.core.precision import float32_logits
from hemf.data.image.read import find_images
from hemf.inference.load import load_trained
from hemf.inference.writers.csv import write_csv
from startup import saved

BATCH = 32
TIMED = (("hemf_nano", "fp32"), ("hemf_nano", "bf16"), ("hemf_tiny", "fp32"))
FOR_MEMORY = "test_resnet"

# A child's ru_maxrss starts from its parent's; VmHWM is its own.
WITH_PEAK = """
import re, sys
from hemf.cli.app import main
main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def bare(folder: Path, count: int, precision: str) -> Callable[[], None]:
    """The model alone, on batches of random floats in memory."""
    trained = load_trained(folder)
    model = trained.model.to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, *trained.spec.input_size).to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            for first in range(0, count, BATCH):
                float32_logits(model, images[: count - first])

    return run


def verb(folder: Path, images: list[Path], precision: str, workers: int) -> Callable[[], None]:
    """What ``hemf predict`` does once the model is loaded, from the files to the CSV."""
    classifier = hemf.load(folder, precision, "cpu")

    def run() -> None:
        found = classifier.stream(images, BATCH, workers)
        write_csv(found, classifier.classes, folder.parent / "predictions.csv")

    return run


def compared(folder: Path, images: list[Path], precision: str, rounds: int) -> dict[str, Any]:
    """CPU milliseconds an image of the bare model and of the verb, and what the verb adds."""
    works = {
        "bare model": bare(folder, len(images), precision),
        "hemf predict": verb(folder, images, precision, workers=0),
        "hemf predict, 2 workers": verb(folder, images, precision, workers=2),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    works["bare model"]()
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(cpu_seconds(work) / len(images) * 1e3)
    model = taken["bare model"]
    return {
        name: {
            "ms_per_image": statistics.median(times),
            "over_bare": statistics.median(t / m for t, m in zip(times, model, strict=True)),
        }
        for name, times in taken.items()
    }


def peak_megabytes(folder: Path, images: Path, count: int, scratch: Path) -> float:
    """Most memory of a process that classifies the first ``count`` images and writes the CSV."""
    files = find_images(images)[:count]
    tree = scratch / f"{len(files)}"
    tree.mkdir()
    for path in files:
        (tree / path.name).symlink_to(path.resolve())
    options = ["--out", str(scratch / "predictions.csv"), "--workers", "0", "--precision", "fp32"]
    command = [sys.executable, "-c", WITH_PEAK, "predict", str(folder), str(tree), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    """Read the command line, measure, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with isic2018")
    parser.add_argument("--images", type=int, default=320, help="images that are timed")
    parser.add_argument("--rounds", type=int, default=5, help="times each is measured")
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 10015], help="images for the memory")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/end-to-end.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = arguments.data / FOLDERS["isic2018"]
    images = find_images(source)
    random.Random(0).shuffle(images)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, precision in TIMED:
            folder = saved(name, Path(scratch) / name / "model")
            found = compared(folder, images[: arguments.images], precision, arguments.rounds)
            results[f"{name}, {precision}"] = found
        folder = saved(FOR_MEMORY, Path(scratch) / FOR_MEMORY / "model")
        memory = {n: peak_megabytes(folder, source, n, Path(scratch)) for n in arguments.memory}
    command = (
        f"python benchmarks/end_to_end.py --images {arguments.images} --rounds {arguments.rounds} "
        f"--memory {' '.join(map(str, arguments.memory))}"
    )
    about = {"command": command, **described(), "images": arguments.images, "batch_size": BATCH}
    write_json(arguments.out, about | {"models": results, "peak_megabytes": memory})


if __name__ == "__main__":
    main()
