"""What the benchmarks share: CPU time of a piece of work, the machine, and images to work on."""

import platform
import resource
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from hemf.bench.speed import machine

PACKAGES = ("hemf", "torch", "torchvision", "timm", "pillow", "numpy")
DATA = Path(__file__).parents[2] / "shared" / "data"
FOLDERS = {"isic2018": "isic2018/ISIC2018_Task3_Training_Input", "covid-ct": "covid-ct/Images-processed"}


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process and of the children it waited for; other processes do not count."""
    before = _used()
    work()
    return _used() - before


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def described() -> dict[str, Any]:
    """The machine and the versions, without any path or name of a host."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {
        "machine": machine(torch.device("cpu")),
        "python": platform.python_version(),
        "packages": versions,
    }
