"""One pass over the files: each image is read and decoded once, and all that the audit needs is kept."""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hemf.core.errors import HemfError, UnreadableImage
from hemf.data.fingerprints import Fingerprint, as_text
from hemf.data.image.empty import emptiness
from hemf.data.image.hashes import THUMBNAIL, TURNS, WINDOWS, image_hashes, small_grey, thumbnail
from hemf.data.image.limits import max_pixels, set_max_pixels
from hemf.data.image.read import decode_image
from hemf.data.image.strips import shrink

RING = 0.03  # of the shorter side: the outermost pixels, whose brightness tells a border


@dataclass(frozen=True)
class Look:
    """What one readable image is like.

    Args:
        bytes_hash: SHA-256 of the file.
        pixels_hash: SHA-256 of size and pixels as the network would get them (upright, RGB).
        file_bytes: size of the file.
        width: width in pixels, as stored.
        height: height in pixels, as stored.
        mode: Pillow's name for the kind of pixels.
        format: format of the content, whatever the suffix.
        brightness: mean grey value, 0 to 255.
        contrast: standard deviation of the grey values.
        colour: mean distance between the largest and smallest of red, green and blue.
        border: mean grey value of the outermost pixels.
        frame: share of the area in rows and columns of one value around the picture.
        thumbnail: 64 x 64 grey values.
        hashes: as ``image_hashes``.
        empty: what it is where it shows nothing, as ``emptiness`` says.
    """

    bytes_hash: str
    pixels_hash: str
    file_bytes: int
    width: int
    height: int
    mode: str
    format: str
    brightness: float
    contrast: float
    colour: float
    border: float
    frame: float
    thumbnail: np.ndarray
    hashes: np.ndarray
    empty: str | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """By which the file is known again."""
        upright = np.concatenate([self.hashes[:1], self.hashes[len(TURNS) : len(TURNS) + len(WINDOWS)]])
        return Fingerprint(self.file_bytes, self.bytes_hash, as_text(upright))


def look_at(path: Path) -> Look | str:
    """Return one image, or the line that says why it cannot be read."""
    try:
        image, size, mode, kind = decode_image(path)
        content = path.read_bytes()
    except UnreadableImage as error:
        return str(error)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    pixels = np.asarray(image)
    small = small_grey(image)
    grey = np.asarray(image.convert("L"))
    reduced = np.asarray(shrink(image, (THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)).astype(np.int16)
    shape = np.array(pixels.shape, np.int64).tobytes()
    return Look(
        bytes_hash=hashlib.sha256(content).hexdigest(),
        pixels_hash=hashlib.sha256(shape + pixels.tobytes()).hexdigest(),
        file_bytes=len(content),
        width=size[0],
        height=size[1],
        mode=mode,
        format=kind,
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        colour=float((reduced.max(-1) - reduced.min(-1)).mean()),
        border=_ring_brightness(grey),
        frame=_frame_share(grey),
        thumbnail=thumbnail(small),
        hashes=image_hashes(small),
        empty=emptiness(image),
    )


def _ring_brightness(grey: np.ndarray) -> float:
    width = max(1, round(RING * min(grey.shape)))
    ring = np.ones(grey.shape, bool)
    ring[width:-width, width:-width] = False
    return float(grey[ring].mean())


def _frame_share(grey: np.ndarray) -> float:
    """Share of the area outside the smallest box beyond which every row and column is nearly one value."""
    height, width = grey.shape
    rows = np.flatnonzero(np.ptp(grey, axis=1) > 8)  # 8 grey values: what JPEG makes of a plain frame
    columns = np.flatnonzero(np.ptp(grey, axis=0) > 8)
    if not len(rows) or not len(columns):
        return 1.0
    inner = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return 1 - float(inner) / (height * width)


class Workers:
    """Processes that share the audit's work, each started afresh; none for 0, when it is done here.

    Args:
        number: number of processes.
    """

    def __init__(self, number: int):
        self.number = number
        context = multiprocessing.get_context("spawn")
        self._pool = (
            ProcessPoolExecutor(number, context, initializer=set_max_pixels, initargs=(max_pixels(),))
            if number
            else nullcontext()
        )

    def __enter__(self) -> "Workers":
        self._pool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if isinstance(self._pool, ProcessPoolExecutor):
            self._pool.shutdown(cancel_futures=True)

    def map(self, what: Callable, items: Sequence, doing: str, chunk: int = 16) -> list:
        """Return ``what`` of each item, in order, with a progress bar on standard error."""
        from rich.console import Console
        from rich.progress import track

        if isinstance(self._pool, ProcessPoolExecutor):
            results: Iterable[Any] = self._pool.map(what, items, chunksize=chunk)
        else:
            results = map(what, items)
        try:
            return list(track(results, doing, len(items), console=Console(stderr=True), transient=True))
        except BrokenProcessPool as error:
            raise HemfError(
                "the system stopped a process that reads images, most likely because memory ran out; "
                "give fewer --workers"
            ) from error
