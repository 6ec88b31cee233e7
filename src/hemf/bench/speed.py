"""How fast a model is, and on which machine."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from hemf.bench.counting import autocast, classification_loss
from hemf.core.machine import cpu_name
from hemf.core.precision import Precision
from hemf.core.text import counted
from hemf.models.kernels import INSTRUCTION_SET

BASE_LR = 1e-4


class Speed(NamedTuple):
    """Images per second, medians over the rounds: of inference, and of whole training steps with AdamW."""

    inference: float
    training: float


class Setting(NamedTuple):
    """One way of running a model."""

    batch_size: int
    precision: Precision


def measure_speed(
    models: Sequence[nn.Module],
    size: tuple[int, int],
    settings: Sequence[Setting],
    device: torch.device,
    rounds: int,
) -> dict[tuple[int, Setting], Speed]:
    """Time every model in every setting.

    Each round times everything once, so that a machine that slows down, or has other work for a while, slows
    no model more than another. A first round warms up and does not count.

    Args:
        models: models on the CPU; each goes to ``device`` for its turn.
        size: height and width of the images.
        settings: batch sizes and precisions.
        device: where to run.
        rounds: how often to time each.

    Returns:
        For each model's index and setting its speed.
    """
    seconds: dict[tuple[int, Setting], list[tuple[float, float]]] = {}
    for number in range(rounds + 1):
        for index, model in enumerate(models):
            model.to(device).to(memory_format=torch.channels_last)
            for setting in settings:
                timed = _time_once(model, size, setting, device)
                if number:
                    seconds.setdefault((index, setting), []).append(timed)
            model.cpu()
    return {
        key: Speed(*(key[1].batch_size / statistics.median(part) for part in zip(*times, strict=True)))
        for key, times in seconds.items()
    }


def _time_once(
    model: nn.Module, size: tuple[int, int], setting: Setting, device: torch.device
) -> tuple[float, float]:
    images = torch.rand(setting.batch_size, 3, *size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=BASE_LR)

    def infer() -> None:
        with torch.inference_mode(), autocast(device, setting.precision):
            model(images)

    def train() -> None:
        classification_loss(model, images, setting.precision).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    model.eval()
    inference = _seconds(infer, device)
    model.train()
    return inference, _seconds(train, device)


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    """Return the seconds of the second of two runs: the first one chooses kernels and fills caches."""
    run()
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def cuda_peak_bytes(model: nn.Module, size: tuple[int, int], setting: Setting, device: torch.device) -> int:
    """Measure the most memory of CUDA tensors in a training step: weights and gradients, no optimiser."""
    model.to(device).to(memory_format=torch.channels_last).train().zero_grad(set_to_none=True)
    images = torch.rand(setting.batch_size, 3, *size, device=device)
    torch.cuda.reset_peak_memory_stats(device)
    classification_loss(model, images, setting.precision).backward()
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device)
    model.zero_grad(set_to_none=True)
    model.cpu()
    return peak


def machine(device: torch.device) -> dict[str, Any]:
    """Describe the machine: processor, threads, what hemf's kernels are compiled for, GPU, torch's version.

    Kernels that are not there, and a GPU that is not the device, are left out.
    """
    described = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "kernels": INSTRUCTION_SET,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "torch": torch.__version__,
    }
    return {key: value for key, value in described.items() if value is not None}


def machine_line(described: dict[str, Any]) -> str:
    """Return a machine in a sentence."""
    gpu = f"{described['gpu']}; " if "gpu" in described else ""
    cores = f"{described['threads']} of {counted(described['cores'], 'core')}"
    kernels = f", hemf's {described['kernels']} kernels" if "kernels" in described else ""
    return f"Measured on {gpu}{described['cpu']}, {cores}; torch {described['torch']}{kernels}."
