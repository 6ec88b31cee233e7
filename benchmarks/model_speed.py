"""How fast the models are beside timm's convnext_base, in one run, and what a training step keeps.

python benchmarks/model_speed.py --out benchmarks/results/model-speed.json

Every round runs the baseline and then every model once, so that a machine with other work slows all alike; a
ratio is the median over the rounds of the baseline's time over the model's, and its time is by default the
processor's own (``--clock cpu``), which other work does not enter. On a GPU it is the clock on the wall.
"""

import argparse
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

import hemf
from hemf.bench.counting import autocast, classification_loss, count_operations, on_paper, training_step
from hemf.bench.speed import BASE_LR, machine
from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.models import fuse

BASELINE = "convnext_base"
SIZES = ("hemf_base", "hemf_small", "hemf_tiny", "hemf_nano")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
MODES = ("inference", "training")
FORMS = ("eager", "fused", "compiled")
CLASSES = 7


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure what the command line asks for and write it."""
    arguments = parse(argv)
    report = {
        "command": shlex.join(
            ["python", "benchmarks/model_speed.py", *(sys.argv[1:] if argv is None else argv)]
        ),
        "settings": {key: value for key, value in vars(arguments).items() if key != "out"},
        "machine": machine(torch.device(arguments.device)),
        "versions": {"hemf": hemf.__version__, "torch": torch.__version__, "timm": timm.__version__},
        "rows": [],
        "activations": [] if arguments.no_activations else activations(arguments),
    }
    if arguments.device == "cuda":
        report["matmul_flops"] = {p: matmul_rate(p) for p in arguments.precisions}
    for side in arguments.sides:
        for precision in arguments.precisions:
            for mode in arguments.modes:
                report["rows"] += rows(arguments, side, precision, mode, report.get("matmul_flops", {}))
                write_json(arguments.out, report)  # what is measured is kept, whatever happens next
    return report


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked.

    Raises:
        HemfError: a device that is not there, or a precision that it does not have.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(SIZES))
    parser.add_argument("--sides", type=int, nargs="+", default=[224], help="image sides, in pixels")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp32", "bf16"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=["eager", "fused"])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--no-activations", action="store_true", help="do not count what training keeps")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/model-speed.json"))
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda":
        if not torch.cuda.is_available():
            raise HemfError("--device cuda: torch sees no GPU here; give --device cpu")
        arguments.clock = "wall"
    elif {"tf32", "fp16"} & set(arguments.precisions):
        raise HemfError("tf32 and fp16 need a GPU: give --precisions fp32 bf16, or --device cuda")
    torch.set_num_threads(arguments.threads)
    return arguments


def activations(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Megabytes an image that a training step keeps for its backward pass, counted without running it."""
    found = []
    for name in (BASELINE, *arguments.models):
        for side in arguments.sides:
            for precision in sorted(
                {"bf16" if p in ("bf16", "fp16") else "fp32" for p in arguments.precisions}
            ):
                with on_paper(lambda name=name: timm.create_model(name, num_classes=CLASSES)) as model:
                    images = torch.zeros(arguments.batch_size, 3, side, side)
                    step = training_step(model, images, precision)
                megabytes = step.saved_bytes / arguments.batch_size / 1e6
                found.append({"model": name, "side": side, "precision": precision, "megabytes": megabytes})
    return found


def rows(
    arguments: argparse.Namespace, side: int, precision: str, mode: str, rates: dict[str, float]
) -> list[dict[str, Any]]:
    """One setting: the baseline's row, then one for each model in each form."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    images = torch.rand(arguments.batch_size, 3, side, side, device=arguments.device)
    images = images.contiguous(memory_format=torch.channels_last)
    runners = [Runner(BASELINE, "eager", images, precision, mode)]
    forms = [form for form in arguments.forms if form != "fused" or mode == "inference"]
    runners += [Runner(name, form, images, precision, mode) for name in arguments.models for form in forms]
    for runner in runners:
        runner.warm_up()
    for _ in range(arguments.rounds):
        for runner in runners:
            runner.time(arguments.clock)
    return [runner.row(runners[0], side, rates.get(precision)) for runner in runners]


class Runner:
    """One model in one form and setting, and the times it took.

    Args:
        name: timm's name of the model.
        form: how it is run, one of ``FORMS``.
        images: the batch, on the device.
        precision: one of ``PRECISIONS``.
        mode: one of ``MODES``; training is a whole step with the fused AdamW.
    """

    def __init__(self, name: str, form: str, images: Tensor, precision: str, mode: str):
        torch.manual_seed(0)
        self.name, self.form, self.images, self.precision, self.mode = name, form, images, precision, mode
        model = timm.create_model(name, num_classes=CLASSES).to(images.device)
        model = model.to(memory_format=torch.channels_last).train(mode == "training")
        self.model: nn.Module = fuse(model) if form == "fused" else model
        if form == "compiled":
            self.model = torch.compile(model)
        self.optimizer = None
        if mode == "training":
            self.optimizer = torch.optim.AdamW(model.parameters(), lr=BASE_LR, fused=True)
        self.seconds: list[float] = []
        self.first_seconds = 0.0
        self.peak_bytes: int | None = None

    def step(self) -> None:
        """A forward pass, or a training step."""
        if self.mode == "inference":
            with torch.inference_mode(), autocast(self.images.device, self.precision):
                self.model(self.images)
        else:
            classification_loss(self.model, self.images, self.precision).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def warm_up(self) -> None:
        """The first run, which compiles where that is asked for; the peak of a GPU's memory in the second."""
        start = time.perf_counter()
        self.step()
        self._wait()
        self.first_seconds = time.perf_counter() - start
        if self.images.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.step()
            self._wait()
            self.peak_bytes = torch.cuda.max_memory_allocated()

    def time(self, clock: str) -> None:
        """Run once and note the time."""
        read = time.process_time if clock == "cpu" else time.perf_counter
        start = read()
        self.step()
        self._wait()
        self.seconds.append(read() - start)

    def row(self, baseline: "Runner", side: int, rate: float | None) -> dict[str, Any]:
        """What came out, as ratios to the baseline's times in the same rounds."""
        ratios = [theirs / ours for theirs, ours in zip(baseline.seconds, self.seconds, strict=True)]
        row = {
            "model": self.name,
            "form": self.form,
            "side": side,
            "precision": self.precision,
            "mode": self.mode,
            "ratio": statistics.median(ratios),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "seconds": statistics.median(self.seconds),
            "first_seconds": self.first_seconds,
        }
        if self.peak_bytes is not None:
            row["peak_bytes"] = self.peak_bytes
        if rate is not None:
            passes = 3 if self.mode == "training" else 1  # the backward pass costs two forward ones
            flops = 2 * passes * multiply_adds(self.name, side) * len(self.images) / row["seconds"]
            row["flops_of_matmul_rate"] = flops / rate
        return row

    def _wait(self) -> None:
        if self.images.device.type == "cuda":
            torch.cuda.synchronize()


def multiply_adds(name: str, side: int) -> int:
    """Of one image, by torch's counter."""
    with on_paper(lambda: timm.create_model(name, num_classes=CLASSES)) as model:
        return count_operations(model, torch.zeros(1, 3, side, side)).torch


def matmul_rate(precision: str, side: int = 8192, repeats: int = 20) -> float:
    """Floating-point operations a second of a large matrix product on the GPU, as this card achieves them."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    a = torch.rand(side, side, device="cuda", dtype=dtype)
    a @ a
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        a @ a
    torch.cuda.synchronize()
    return 2 * side**3 * repeats / (time.perf_counter() - start)


if __name__ == "__main__":
    import sys

    try:
        main(sys.argv[1:])
    except HemfError as error:
        sys.exit(f"error: {error}")
