"""Reads images in a process of their own, which ends when its time or memory is used up.

The process is started when the first such image comes and kept for the next ones. It knows nothing of torch,
so it starts in about a second.
"""

import atexit
import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import AvifImagePlugin, Image

from hemf.core.errors import UnreadableImage
from hemf.data.image.decode import ImageBytes, decode_here
from hemf.data.image.limits import MAX_PIXELS, max_pixels, set_max_pixels

SECONDS = 15  # of the processor that an image may take; a larger limit of pixels gives more
PATIENCE = 4  # times as many by the clock, as on a machine that is busy
MEMORY = 2 * 2**30  # bytes that the process may take, its libraries among them
ROWS = 256  # that are sent at once


def decode_apart(
    path: str | os.PathLike, mode: str = "RGB", window: str = "auto"
) -> tuple[Image.Image, tuple[int, int], str, str]:
    """Return what ``hemf.data.image.read.decode_image`` gives, from another process.

    Raises:
        UnreadableImage: as there, or it took too long, or more memory than any image needs.
    """
    process, late = _processes.take(), threading.Event()
    timer = threading.Timer(PATIENCE * _scaled(SECONDS), _end, (process, late))
    timer.start()
    data = path.data if isinstance(path, ImageBytes) else None
    request = {"path": os.fspath(path), "mode": mode, "window": window, "limit": max_pixels()}
    try:
        answer = _ask(process, request | {"bytes": None if data is None else len(data)}, data or b"")
    except (OSError, ValueError):  # it ended before its answer did
        _close(process)
        too_long = late.is_set() or process.returncode == -getattr(signal, "SIGXCPU", 0)
        raise UnreadableImage(
            f"{path} takes longer than {_scaled(SECONDS)} seconds to read; save it again from a viewer, or "
            "leave it out"
            if too_long
            else f"{path} is damaged (it ends the process that reads it); fetch it again, or leave it out"
        ) from None
    finally:
        timer.cancel()
        timer.join()
    _processes.give_back(process)
    if isinstance(answer, str):
        raise UnreadableImage(answer)
    return answer


def _end(process: subprocess.Popen, late: threading.Event) -> None:
    late.set()
    process.kill()


def _scaled(amount: float) -> int:
    """Scale a bound up where a larger limit of pixels is set."""
    return round(amount * max(1, max_pixels() / MAX_PIXELS))


def _ask(
    process: subprocess.Popen, request: dict[str, Any], data: bytes
) -> tuple[Image.Image, tuple, str, str] | str:
    """Return the process's answer; a message where it cannot read the image, which may follow the request."""
    assert process.stdin is not None
    assert isinstance(process.stdout, io.BufferedReader)
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.write(data)
    process.stdin.flush()
    about = json.loads(process.stdout.readline())
    if "error" in about:
        return about["error"]
    values = np.empty(about["shape"], np.uint8)
    if process.stdout.readinto(values.data.cast("B")) < values.nbytes:
        raise ValueError("cut short")
    return Image.fromarray(values), tuple(about["size"]), about["mode"], about["format"]


class _Processes:
    """Those that are idle; each is used by one thread at a time."""

    def __init__(self) -> None:
        self.idle: list[subprocess.Popen] = []

    def take(self) -> subprocess.Popen:
        while True:
            try:
                process = self.idle.pop()
            except IndexError:  # also where another thread has just taken the last
                return _start()
            if process.poll() is None:
                return process

    def give_back(self, process: subprocess.Popen) -> None:
        self.idle.append(process)

    def close(self) -> None:
        while self.idle:
            _close(self.idle.pop())

    def forget(self) -> None:
        """Drop the processes in a forked child, because they belong to its parent."""
        for process in self.idle:
            process.returncode = 0  # nothing is waited for
        self.idle.clear()


_processes = _Processes()
atexit.register(_processes.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_processes.forget)


def _start() -> subprocess.Popen:
    """Return a process that answers; its modules are this program's, never those of the current folder."""
    here = str(Path(__file__).parents[3])
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", "from hemf.data.image.apart import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | threads | {"PYTHONPATH": paths},
    )


def _close(process: subprocess.Popen) -> None:
    """End it, whatever it does."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was not yet written
                continue
    process.wait()


def serve() -> None:
    """Answer requests on standard input until it ends: what the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends this one
    Image.MAX_IMAGE_PIXELS = None  # our own limit is judged instead
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each would take memory and time of those of the image
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    for line in requests:
        request = json.loads(line)
        set_max_pixels(request["limit"])
        _bound()
        path, length = request["path"], request["bytes"]
        source = path if length is None else ImageBytes(path, requests.read(length))
        try:
            image, size, mode, kind = decode_here(source, request["mode"], request["window"], alone=True)
        except UnreadableImage as error:
            _tell(answers, {"error": str(error)})
            continue
        shape = (image.height, image.width, 3) if image.mode == "RGB" else (image.height, image.width)
        _tell(answers, {"shape": shape, "size": size, "mode": mode, "format": kind}, image)
        del image, source


def _bound() -> None:
    """Make the system refuse this process more memory than an image can need, and end it after its time."""
    try:
        import resource
    except ImportError:  # Windows
        return
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    for what, most in (
        (resource.RLIMIT_AS, _scaled(MEMORY)),
        (resource.RLIMIT_CPU, math.ceil(used) + _scaled(SECONDS)),
    ):
        resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def _tell(answers: BinaryIO, about: dict[str, Any], image: Image.Image | None = None) -> None:
    """Write what there is to say, then the picture a few rows at a time."""
    answers.write(json.dumps(about).encode() + b"\n")
    if image is not None:
        for top in range(0, image.height, ROWS):
            answers.write(image.crop((0, top, image.width, min(top + ROWS, image.height))).tobytes())
    answers.flush()
