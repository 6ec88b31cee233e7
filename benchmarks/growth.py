"""How time and memory grow with the image's side and with the batch, and by which power MaSA's does.

python benchmarks/growth.py --out benchmarks/results/growth.json

Writes the JSON and beside it the plot, as SVG and PNG.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

import hemf
from hemf.bench.counting import on_paper, training_step
from hemf.bench.speed import machine
from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.models.blocks import ManhattanSelfAttention

CLASSES = 7
MASA_DIM, MASA_HEADS = 32, 4


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure what the command line asks for, write it and draw it."""
    arguments = parse(argv)
    device = torch.device(arguments.device)
    with torch.inference_mode():
        report = {
            "command": "python benchmarks/growth.py " + " ".join(argv or []),
            "settings": {key: value for key, value in vars(arguments).items() if key != "out"},
            "machine": machine(device),
            "versions": {"hemf": hemf.__version__, "torch": torch.__version__, "timm": timm.__version__},
            "sides": by_side(arguments, device),
            "batches": by_batch(arguments, device),
            "masa": masa(arguments, device),
        }
    for row in report["sides"]:
        row["kept_megabytes"] = kept_megabytes(arguments.model, row["side"])
    sides, seconds = zip(*((row["side"], row["seconds"]) for row in report["masa"]), strict=True)
    report["masa_exponent"] = exponent(sides, seconds)
    write_json(arguments.out, report)
    draw(report, arguments.out)
    return report


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked.

    Raises:
        HemfError: a GPU is asked for that is not there.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="hemf_base")
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 96, 128, 224, 384, 512, 768, 1024])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--masa-sides", type=int, nargs="+", default=[64, 96, 128, 192, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/growth.json"))
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise HemfError("--device cuda: torch sees no GPU here; give --device cpu")
    return arguments


def by_side(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, float]]:
    """Seconds of inference on one image of each side."""
    model = timm.create_model(arguments.model, num_classes=CLASSES).eval().to(device)
    model = model.to(memory_format=torch.channels_last)
    runs = {side: _forward(model, torch.rand(1, 3, side, side, device=device)) for side in arguments.sides}
    return [{"side": side, "seconds": s} for side, s in timed(runs, arguments.rounds).items()]


def by_batch(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, float]]:
    """Seconds of inference on batches of each size, at 224 x 224."""
    model = timm.create_model(arguments.model, num_classes=CLASSES).eval().to(device)
    model = model.to(memory_format=torch.channels_last)
    runs = {
        batch: _forward(model, torch.rand(batch, 3, 224, 224, device=device)) for batch in arguments.batches
    }
    return [{"batch": batch, "seconds": s} for batch, s in timed(runs, arguments.rounds).items()]


def masa(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, float]]:
    """Seconds of one Manhattan self-attention and its LePE on maps of each side, projections left out."""
    attention = ManhattanSelfAttention(MASA_DIM, MASA_HEADS).to(device)
    runs = {}
    for side in arguments.masa_sides:
        q, k, v = torch.randn(3, 1, side, side, MASA_DIM, device=device)
        terms = attention.position(side, side)
        runs[side] = partial(attention.attend, q, k, v, terms)
    return [{"side": side, "seconds": s} for side, s in timed(runs, arguments.rounds).items()]


def _forward(model: torch.nn.Module, images: torch.Tensor) -> Callable[[], Any]:
    images = images.contiguous(memory_format=torch.channels_last)
    return lambda: model(images)


def timed(runs: dict[int, Callable[[], Any]], rounds: int) -> dict[int, float]:
    """Median seconds of each over interleaved rounds, the first of which warms up; the processor's own time
    on a CPU, which other work does not enter."""
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    read = time.perf_counter if on_gpu else time.process_time
    seconds: dict[int, list[float]] = {key: [] for key in runs}
    for number in range(rounds + 1):
        for key, run in runs.items():
            start = read()
            run()
            if on_gpu:
                torch.cuda.synchronize()
            if number:
                seconds[key].append(read() - start)
    return {key: statistics.median(times) for key, times in seconds.items()}


def kept_megabytes(model: str, side: int) -> float:
    """Megabytes that a training step on one image (of a batch of two) keeps, counted without running it."""
    with on_paper(lambda: timm.create_model(model, num_classes=CLASSES)) as skeleton:
        return training_step(skeleton, torch.zeros(2, 3, side, side)).saved_bytes / 2 / 1e6


def exponent(sides: Sequence[float], seconds: Sequence[float]) -> float:
    """The power by which time grows: the slope of a line through the logarithms."""
    return float(np.polyfit([math.log(side) for side in sides], [math.log(s) for s in seconds], 1)[0])


def draw(report: dict[str, Any], out: Path) -> None:
    """Time and memory against the side, time against the batch, MaSA against side cubed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plots = (
        ("sides", "side", "seconds", "image side (pixels)", "seconds an image"),
        ("sides", "side", "kept_megabytes", "image side (pixels)", "kept in training (MB an image)"),
        ("batches", "batch", "seconds", "batch", "seconds a batch, 224 pixels"),
        ("masa", "side", "seconds", "MaSA: side of the map (tokens)", "seconds"),
    )
    figure, axes = plt.subplots(1, len(plots), figsize=(14, 3.4), layout="constrained")
    for axis, (part, key, value, xlabel, ylabel) in zip(axes, plots, strict=True):
        x, y = zip(*((row[key], row[value]) for row in report[part]), strict=True)
        axis.loglog(x, y, "o-", label="measured")
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.grid(True, which="both", alpha=0.3)
    for power, style in ((3, "--"), (4, ":")):
        axis.loglog(x, [y[0] * (side / x[0]) ** power for side in x], f"k{style}", label=f"side^{power}")
    axis.legend()
    for suffix in ("svg", "png"):
        figure.savefig(out.with_suffix(f".{suffix}"), metadata={"Date": None} if suffix == "svg" else None)
    plt.close(figure)


if __name__ == "__main__":
    import sys

    try:
        main(sys.argv[1:])
    except HemfError as error:
        sys.exit(f"error: {error}")
