"""The processes that read images while the model computes: how many, and what to say when one is killed."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from hemf.core.errors import HemfError
from hemf.core.machine import reading_cores
from hemf.data.image.limits import max_pixels, set_max_pixels

ENDS = {  # of a reading process, by the signal that ended it
    "Killed": (
        "the system stopped a process that reads images, as it does where memory runs out",
        "give fewer --workers (0 for none) or free memory, in a container shared memory too (--shm-size)",
    ),
    "Bus error": (
        "a process that reads images ran out of shared memory",
        "give fewer --workers (0 for none) or more shared memory (--shm-size of a container)",
    ),
    "Terminated": (
        "a process that reads images was told to end (SIGTERM)",
        "if that was not meant, run the command again, or resume the run",
    ),
    "Segmentation fault": (
        "a process that reads images crashed in a decoder",
        "hemf data audit finds damaged images; --workers 0 shows at which one it happens",
    ),
}
FEW_IMAGES = 64  # not worth starting processes for


def worker_count(asked: int | None, images: int, devices: int = 1, *, on_cpu: bool = False) -> int:
    """Return the processes that read, for each device.

    Args:
        asked: what the user wants; None for one a core shared among the machine's devices, at most
            eight, and none for few images.
        images: to read.
        devices: devices of this machine that are read for.
        on_cpu: whether a model computes on the same cores; then a quarter of them reads.
    """
    if asked is not None:
        return asked
    return 0 if images <= FEW_IMAGES else reading_cores(devices, on_cpu=on_cpu)


def same_limits() -> Callable[[int], None]:
    """Return what a reading process does first, so that it refuses the images that this one would."""
    return partial(_set_limits, max_pixels())


def _set_limits(pixels: int, worker: int) -> None:
    set_max_pixels(pixels)


@contextmanager
def killed_workers_explained() -> Iterator[None]:
    """Turn the death of a reading process inside the block into an error that says what to do.

    Raises:
        HemfError: one was stopped, by the system when memory ran out or by somebody else.
    """
    try:
        yield
    except RuntimeError as error:  # from torch's handler of a child's death, wherever the program is
        died = re.search(
            r"DataLoader worker .*?(?:killed by signal: (.+?)\.|exited unexpectedly)", str(error)
        )
        if not died:
            raise
        how, mend = ENDS.get(died[1], ENDS["Killed"])
        raise HemfError(f"{how}; {mend}") from error
