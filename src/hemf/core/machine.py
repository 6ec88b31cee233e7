"""The machine: its processor, its cores, its memory, and the threads that a model computes on."""

import ipaddress
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
ASKED_THREADS = "OMP_NUM_THREADS" in os.environ  # by the user; later Lightning may put a number there
MOST_READERS = 8


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait for one another; this must be set before torch is imported.

    By default they spin for milliseconds, and on a machine with other work each spins away the time that the
    other one needs. A thousand turns, some microseconds, cost an idle machine nothing (measured in
    docs/how-to/train.md). What the user has set stays.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ.update(WAITING)


def cpu_name() -> str:
    """Return the processor's model name as its maker writes it, or its architecture if that is unknown."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:  # not Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Count the cores that this process may use, by its affinity and its container's quota."""
    from joblib import cpu_count

    return cpu_count()


def reading_cores(devices: int = 1, *, on_cpu: bool = True) -> int:
    """Count the cores of each device's share that read images while a model computes.

    On a CPU a quarter, which is none of two or three, or what OMP_NUM_THREADS leaves; beside a GPU all, but
    at most ``MOST_READERS``.
    """
    import torch

    cores = usable_cores() // devices
    if not on_cpu:
        return min(MOST_READERS, max(1, cores))
    return min(MOST_READERS, max(0, cores - torch.get_num_threads()) if ASKED_THREADS else cores // 4)


def model_threads(devices: int = 1, *, on_cpu: bool = True) -> int:
    """Count the threads that a model computes on, so that they and the reading processes fit the cores.

    They do not depend on how many processes read, as they decide the last bits of results. OMP_NUM_THREADS
    and a lower ``torch.set_num_threads`` are what the user wants.
    """
    import torch

    threads = torch.get_num_threads()
    if ASKED_THREADS:
        return threads
    return min(threads, max(1, usable_cores() // devices - reading_cores(devices, on_cpu=on_cpu)))


def library_threads() -> int:
    """Count the threads that a library other than torch computes on: OMP_NUM_THREADS, else one a core."""
    asked = os.environ.get("OMP_NUM_THREADS", "") if ASKED_THREADS else ""
    return int(asked) if asked.isdecimal() and int(asked) else usable_cores()


@contextmanager
def computing_on(threads: int) -> Iterator[None]:
    """Make torch compute on this number of threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def memory_bytes() -> int:
    """Return the machine's memory in bytes, or 1 TiB if the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not POSIX
        return 1 << 40


def is_loopback(host: str) -> bool:
    """Return whether an address or a name is of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
