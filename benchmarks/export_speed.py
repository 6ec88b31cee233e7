"""How fast exports are beside the model in torch, in one run, and how far they are from it.

OMP_NUM_THREADS=1 python benchmarks/export_speed.py --out benchmarks/results/export-speed.json

Every round runs each form once, in turn, so that a machine with other work slows all alike. A ratio is the
median over the rounds of torch's time over the export's, both the processor's own, which other work does not
enter. ``eager`` is the model as ``hemf predict`` runs it, with the compiled kernels where there are any, in
fp32 and under bf16 autocast; weights and images are random, which changes no time.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

import hemf.models  # noqa: F401  registers the models
from common import described
from hemf.core.files import write_json
from hemf.core.precision import AUTOCAST, float32_logits
from hemf.data.preprocessing import InputSpec
from hemf.exporting import EXPORTERS
from hemf.exporting.network import Exported
from hemf.exporting.registry import Job
from hemf.inference.load import TrainedModel

CLASSES = 7
Form = Callable[[np.ndarray], np.ndarray]


def forms(name: str, side: int, kinds: list[str], folder: Path) -> dict[str, Form]:
    """The model in torch and its exports, each as a function from images to logits."""
    torch.manual_seed(0)
    network, size = timm.create_model(name, num_classes=CLASSES).eval(), (3, side, side)
    spec = InputSpec(size, 0.9, "center", "bicubic", (0.5,) * 3, (0.5,) * 3)
    job = TrainedModel(network, list("abcdefg"), spec, name)
    network = network.to(memory_format=torch.channels_last)
    found = {f"eager {precision}": eager(network, precision) for precision in ("fp32", "bf16")}
    for kind in kinds:
        kind, _, precision = kind.partition("-")
        exporter, place = EXPORTERS[kind], folder / f"{name}-{kind}-{precision}"
        place.mkdir()
        images = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
        seen = [images.numpy()]
        exporter.write(Job(Exported(job).eval(), images, precision, name, lambda seen=seen: seen), place)
        found[f"{kind} {precision}"] = exporter.open(place / exporter.file, size, CLASSES)
    return found


def eager(network: torch.nn.Module, precision: str) -> Form:
    """The model as it predicts in torch."""

    def compute(images: np.ndarray) -> np.ndarray:
        autocast = torch.autocast("cpu", AUTOCAST[precision], enabled=precision != "fp32")
        with torch.inference_mode(), autocast:
            inputs = torch.from_numpy(images).to(memory_format=torch.channels_last)
            return float32_logits(network, inputs).numpy()

    return compute


def measured(ways: dict[str, Form], images: np.ndarray, rounds: int) -> list[dict[str, Any]]:
    """Run every form once a round; a row for each."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    outputs = {name: compute(images) for name, compute in ways.items()}
    for _ in range(rounds):
        for name, compute in ways.items():
            started = time.process_time()
            compute(images)
            taken[name].append(time.process_time() - started)
    first = taken["eager fp32"]
    return [
        {
            "form": name,
            "milliseconds": 1000 * statistics.median(seconds),
            "ratio": statistics.median(a / b for a, b in zip(first, seconds, strict=True)),
            "largest_difference_of_logits": float(np.abs(outputs[name] - outputs["eager fp32"]).max()),
        }
        for name, seconds in taken.items()
    ]


def processor() -> dict[str, str]:
    """What lscpu says of the processor."""
    lines = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout.splitlines()
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8")
    flags = [flag for flag in wanted if flag in about.get("Flags", "").split()]
    return {"model": about.get("Model name", ""), "flags": " ".join(flags)}


def main() -> None:
    """Read the command line, measure, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=["hemf_nano", "hemf_tiny"])
    parser.add_argument("--forms", nargs="+", default=["onnx-fp32"], help="FORMAT-PRECISION")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1 before Python starts, so that every library takes one thread")
    report: dict[str, Any] = {
        "command": "OMP_NUM_THREADS=1 " + shlex.join(["python", "benchmarks/export_speed.py", *sys.argv[1:]]),
        **described(),
        "processor": processor(),
        "threads": 1,
        "side": arguments.side,
        "rounds": arguments.rounds,
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.models:
            ways = forms(name, arguments.side, arguments.forms, Path(scratch))
            for batch in arguments.batch_sizes:
                images = np.random.default_rng(0).normal(size=(batch, 3, arguments.side, arguments.side))
                for row in measured(ways, images.astype(np.float32), arguments.rounds):
                    report["rows"].append({"model": name, "batch_size": batch, **row})
                write_json(arguments.out, report)  # what is measured is kept, whatever happens next


if __name__ == "__main__":
    main()
