"""The environment a run is made in, and whether it gives the same numbers when resumed on another machine."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hemf.core.errors import HemfError
from hemf.core.machine import cpu_name, usable_cores
from hemf.core.untrusted import read_json

PACKAGES = ("hemf", "torch", "torchvision", "timm", "pytorch-lightning", "torchmetrics", "numpy", "pillow")
DECISIVE = {
    "torch": "torch",
    "kernels": "compiled kernels",
    "instructions": "instructions",
    "gpus": "GPUs",
    "processes": "devices",
}
MOST_THREADS = 1024  # believed of a file
MOST_PROCESSES = 100_000


def environment(precision: str, threads: int | None = None, processes: int = 1) -> dict[str, Any]:
    """Describe the environment a run is made in: command, versions, commit, hardware.

    Args:
        precision: number format.
        threads: number of threads that the model computes on; by default torch's.
        processes: number of processes that train, one a device.
    """
    import torch

    from hemf.models import kernels

    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([_program(), *sys.argv[1:]]),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "threads": threads or torch.get_num_threads(),
        "processes": processes,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "kernels": kernels.INSTRUCTION_SET,
        "kernels_left_out": kernels.left_out(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "precision": precision,
    }


def read_environment(run: Path) -> dict[str, Any]:
    """Read the environment that a run was begun in.

    Raises:
        HemfError: its ``environment.json`` cannot be read, or names an unknown precision.
    """
    about = read_json(run / "environment.json")
    if about.get("precision") not in ("fp32", "bf16", "fp16"):
        raise HemfError(f"{run / 'environment.json'} names an unknown precision; restore it")
    if not isinstance(about.get("resumed", []), list):
        raise HemfError(f"resumed in {run / 'environment.json'} is not a list; restore it")
    return about


def threads_of(about: Mapping[str, Any]) -> int:
    """Return the number of threads that a run was begun with, by its ``environment.json``.

    Raises:
        HemfError: it is not a number of threads.
    """
    threads = about.get("threads")
    if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
        raise HemfError(
            f"threads is {threads!r} in the run's environment.json; give the number that the run began with"
        )
    return threads


def processes_of(about: Mapping[str, Any]) -> int | None:
    """Return the number of processes that a run was begun with, by its ``environment.json``; None if unknown.

    Raises:
        HemfError: it is not a number of processes.
    """
    processes = about.get("processes")
    if processes is not None and (type(processes) is not int or not 1 <= processes <= MOST_PROCESSES):
        raise HemfError(
            f"processes is {processes!r} in the run's environment.json; give the number that the run began "
            "with"
        )
    return processes


def differences(begun: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in words which differences between two environments change the last bits of the weights."""
    before, after = ({**about, "torch": (about.get("packages") or {}).get("torch")} for about in (begun, now))
    return [
        f"{words} {after[name] or 'none'} instead of {before[name] or 'none'}"
        for name, words in DECISIVE.items()
        if name in before and before[name] != after[name]
    ]


def _program() -> str:
    """Return the name of the running program; ``hemf`` for ``python -m hemf``."""
    program = Path(sys.argv[0])
    return program.parent.name if program.name == "__main__.py" else program.name


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the running hemf, with ``+changes`` if files differ; None outside a checkout."""
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # else it is the commit of something else
        return _git("rev-parse", "HEAD") + ("+changes" if _git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
