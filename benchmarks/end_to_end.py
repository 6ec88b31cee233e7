"""``hemf predict`` from files to CSV beside the bare model on images in memory, and the memory it takes.

python benchmarks/end_to_end.py --data ../shared/data

Writes benchmarks/results/end-to-end.json. CPU time of one thread, worker processes included, everything once
a round; the ratio is the median over the rounds. Memory is the peak of a process of its own, for 1,000 images
and for all, with a small model of timm's, so that it ends soon: what could grow is reading and writing.
``hemf evaluate`` reads its images by the same function.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch

import hemf
from common import DATA, FOLDERS, cpu_seconds, described
from hemf.data.image import find_images
from hemf.evaluation.inference import load_trained
from hemf.files import write_json
from hemf.training.precision import float32_logits
from startup import saved

BATCH = 32
TIMED = (("hemf_nano", "fp32"), ("hemf_nano", "bf16"), ("hemf_tiny", "fp32"))
FOR_MEMORY = "test_resnet"


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
    """``hemf predict`` in this process, from the model's folder and the files to the CSV."""

    def run() -> None:
        with redirect_stdout(None):
            hemf.predict(
                str(folder),
                [str(path) for path in images],
                out=str(folder.parent / "predictions.csv"),
                batch_size=BATCH,
                precision=precision,
                workers=workers,
                device="cpu",
            )

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


def peak_megabytes(folder: Path, images: Path, count: int | None, scratch: Path) -> float:
    """Most memory of a process that classifies the first ``count`` images, or all, and writes the CSV."""
    files = find_images(images)[:count]
    tree = scratch / f"{len(files)}"
    tree.mkdir()
    for path in files:
        (tree / path.name).symlink_to(path.resolve())
    options = ["--out", str(scratch / "predictions.csv"), "--workers", "0", "--precision", "fp32"]
    command = [sys.executable, "-m", "hemf", "predict", str(folder), str(tree), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("hemf predict failed")
    return usage.ru_maxrss / 1024


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
    command = f"python benchmarks/end_to_end.py --images {arguments.images} --rounds {arguments.rounds}"
    about = {"command": command, **described(), "images": arguments.images, "batch_size": BATCH}
    write_json(arguments.out, about | {"models": results, "peak_megabytes": memory})


if __name__ == "__main__":
    main()
