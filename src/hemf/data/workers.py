"""The processes that read images while the model computes: how many, and what to say when one is killed."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from hemf.errors import HemfError

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


@contextmanager
def killed_workers_explained() -> Iterator[None]:
    """Inside the block the death of a reading process becomes an error that says what to do.

    Raises:
        HemfError: the system stopped one, as it does where memory runs out.
    """
    try:
        yield
    except RuntimeError as error:  # from torch's handler of a child's death, wherever the program is
        if not re.search(r"DataLoader worker .*(killed|exited unexpectedly)", str(error)):
            raise
        raise HemfError(
            "the system stopped a process that reads images, as it does where memory runs out; give fewer "
            "--workers (0 for none) or free memory, in a container shared memory too (--shm-size)"
        ) from error
