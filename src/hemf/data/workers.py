"""How many processes read images while the model computes."""

import os

FEW_IMAGES = 64  # not worth starting processes for
MOST_WORKERS = 8


def worker_count(asked: int | None, images: int, devices: int = 1) -> int:
    """Processes that read, for each device.

    Args:
        asked: what the user wants; None for one a core shared among the machine's devices, at most
            ``MOST_WORKERS``, and none for few images.
        images: to read.
        devices: of this machine that are read for.
    """
    if asked is not None:
        return asked
    if images <= FEW_IMAGES:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, max(1, cores // devices))
