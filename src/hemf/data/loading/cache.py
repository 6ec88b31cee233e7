"""``--cache``: the decoded images of a data set in one memory-mapped file, so that each is decoded once.

The cache of a data set is two files, ``KEY.pixels`` with the images' uint8 values one after the other and
``KEY.json`` with their sizes and the SHA-256 of the first; that one is written last, so it stands for a whole
cache. Images are kept as decoded, at their own size: whatever a recipe draws from them is the same with and
without the cache, bit for bit.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from shutil import disk_usage
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock, Timeout
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError, UnreadableImage
from hemf.core.files import whole_file, write_json
from hemf.core.untrusted import inside, read_json
from hemf.data.dataset import DataSet
from hemf.data.image.decode import FORMATS, ImageMode
from hemf.data.image.jpeg import read_pixels
from hemf.data.loading.workers import worker_count

VERSION = 2  # of the files' layout and of how hemf reads images; another number makes all caches anew
DECODERS = ("pillow", "simplejpeg", "tifffile", "pydicom")
CHANNELS = {"RGB": 3, "L": 1}
DECODED_AT_ONCE = 8  # images in memory while a cache is built


class DecodedImages:
    """The images of a cache, by their path in the data set; shared by all processes that map the file.

    Args:
        file: file with the pixels.
        paths: paths of the images, in the order of the file.
        sizes: their heights and widths in pixels; 0 and 0 for an unreadable one, which takes no space.
        channels: 3 or 1.
    """

    def __init__(
        self, file: Path, paths: Sequence[str], sizes: Sequence[Sequence[int]], channels: int
    ) -> None:
        self.file, self.channels = file, channels
        ends = np.cumsum([0, *(height * width * channels for height, width in sizes)]).tolist()
        self.places = {path: (start, *size) for path, start, size in zip(paths, ends, sizes, strict=False)}
        self.bytes = ends[-1]

    def hold(self) -> None:
        """Map the file now: then it stays for this process and its forks, even if it is removed."""
        if self.bytes:
            _ = self._values

    def get(self, path: str) -> Tensor | None:
        """Return pixels, uint8 C x H x W in channels-last memory.

        Returns:
            None for an image that could not be read, or where another run has removed the file before this
            process came to map it.
        """
        start, height, width = self.places[path]
        if not height:
            return None
        try:
            values = self._values[start : start + height * width * self.channels]
        except FileNotFoundError:
            return None
        return torch.from_numpy(values.reshape(height, width, self.channels)).permute(2, 0, 1)

    @functools.cached_property
    def _values(self) -> np.ndarray:
        """The mapped file; writing to it would change this process's copy alone."""
        return np.memmap(self.file, np.uint8, "c")

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the mapping: another process maps the file itself."""
        return {key: value for key, value in self.__dict__.items() if key != "_values"}


def cache_folder(config: RunConfig) -> Path | None:
    """Return where the run's options want the cache, as an absolute path; None for no cache.

    Raises:
        HemfError: no ``cache_dir`` is given, and the data is not a prepared data set, which has a
            place for it, or that place is a link that leads out of it.
    """
    if config.cache_dir is not None:
        return Path(config.cache_dir).absolute()
    if not config.cache:
        return None
    if (Path(config.data) / "dataset.json").is_file():
        return inside(Path(config.data).absolute(), "cache")
    raise HemfError(
        f"there is no place for a cache in {config.data}; give --cache-dir, or use hemf data prepare first"
    )


def decoded_images(
    data: DataSet, mode: ImageMode, folder: Path, console: Console, window: str = "auto"
) -> DecodedImages:
    """Open the cache of all images of a data set in ``folder``; build it if there is no whole one.

    A cache belongs to the very files: their names, sizes, times of change, the versions of the decoders
    and how they are read are its key, so that a file that changed is decoded again. Of several that want
    the same cache at once one process builds it and the others wait.

    Args:
        data: the data set; all splits, so that folds and an evaluation share the cache.
        mode: ``RGB`` or ``L``.
        folder: where caches lie.
        console: told what is built, and how large it is.
        window: window of DICOM files, as ``read_image`` takes it.

    Raises:
        HemfError: the disk is too small, or the folder cannot be written.
    """
    if (found := find_cache(data, mode, folder, console, window)) is not None:
        return found
    paths, name, stem = _place(data, mode, folder, window)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder / f"{name}.lock", console)
    except OSError as error:
        raise HemfError(f"cannot write into {folder}: {error.strerror}; give another --cache-dir") from error
    with lock:
        if (found := _open(stem, console)) is None:  # else another process has just built it
            _clear(folder, name)
            _build(stem, data, paths, mode, window, console)
            found = _open(stem, console)
    if found is None:
        raise HemfError(f"the cache {stem}.pixels is not what was written; check the disk")
    return found


def find_cache(
    data: DataSet, mode: ImageMode, folder: Path, console: Console, window: str = "auto"
) -> DecodedImages | None:
    """Return the cache of a data set where there is a whole one; arguments as for ``decoded_images``."""
    return _open(_place(data, mode, folder, window)[2], console)


def _place(data: DataSet, mode: str, folder: Path, window: str) -> tuple[list[str], str, Path]:
    """The images in the cache's order, the name of their caches, and the path of this one without suffix."""
    paths = sorted(sample.path for sample in data.samples)
    name = _images_name(data, paths, mode, window)
    return paths, name, folder / f"{name}-{_state(data, paths)}"


def _images_name(data: DataSet, paths: list[str], mode: str, window: str) -> str:
    """Return which images a cache holds: those of one list of files in one place, read in one way."""
    decoders = [
        metadata.version(package) for package in DECODERS
    ]  # otherwise environments would clear each other's
    return _digest([str(data.root.resolve()), mode, window, VERSION, decoders, *paths])[:12]


def _state(data: DataSet, paths: list[str]) -> str:
    """Return the state of their files."""
    return _digest([_stamp(data.root / path) for path in paths])[:20]


def _stamp(file: Path) -> list[int]:
    """Return size and times of a file; the time of its inode shows a change that set the other time back."""
    try:
        found = file.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _open(stem: Path, console: Console) -> DecodedImages | None:
    """Return the cache of that name; None where there is none, or one that is damaged."""
    index, pixels = _with_suffix(stem, ".json"), _with_suffix(stem, ".pixels")
    try:
        about = read_json(index)
        with open(pixels, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != about["sha256"]:
                console.print(f"the cache {pixels} is damaged; building it again")
                return None
        found = DecodedImages(pixels, about["paths"], about["sizes"], about["channels"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    found.hold()
    return found


def _lock(file: Path, console: Console) -> FileLock:
    """Return the lock on a cache, which the system gives back when a process dies."""
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        console.print("another process is building the cache; waiting for it")
    else:
        lock.release()
    return lock


def _clear(folder: Path, name: str) -> None:
    """Remove earlier states of these images, and what a killed process left; processes keep what they map."""
    for old in [*folder.glob(f"{name}-*"), *folder.glob(f".{name}-*")]:
        old.unlink(missing_ok=True)


def _build(
    stem: Path, data: DataSet, paths: list[str], mode: ImageMode, window: str, console: Console
) -> None:
    channels = CHANNELS[mode]
    needed, free = _bytes_needed(data, paths, channels), disk_usage(stem.parent).free
    if needed > free:
        raise HemfError(
            f"the cache of {data.name} needs {needed / 1e9:.2f} GB and {stem.parent} has {free / 1e9:.2f} GB "
            "free; free the disk, give --cache-dir on another one, or train without --cache"
        )
    sizes: list[tuple[int, int]] = []
    hashed = hashlib.sha256()
    with whole_file(_with_suffix(stem, ".pixels")) as temporary, open(temporary, "wb") as file:
        images = track(
            _decoded(data, paths, mode, window), "decoding", len(paths), console=console, transient=True
        )
        for pixels in images:
            sizes.append(_append(file, hashed, pixels))
    about = {"version": VERSION, "channels": channels, "sha256": hashed.hexdigest()}
    write_json(_with_suffix(stem, ".json"), about | {"paths": paths, "sizes": sizes})
    size = _with_suffix(stem, ".pixels").stat().st_size
    console.print(f"cache: {len(paths)} decoded images, {size / 1e6:,.0f} MB in {stem.parent}")


def _bytes_needed(data: DataSet, paths: Iterable[str], channels: int) -> int:
    """Sum the bytes of the images whose headers can be read; the others show while decoding."""
    needed = 0
    for path in paths:
        try:
            with Image.open(data.root / path, formats=FORMATS) as image:
                needed += image.width * image.height * channels
        except Exception:  # no image, or a kind that Pillow does not know
            continue
    return needed


def _decoded(data: DataSet, paths: Sequence[str], mode: ImageMode, window: str) -> Iterator[Tensor | None]:
    """Yield the images' pixels in order, decoded by several threads; None for one that cannot be read."""

    def decode(path: str) -> Tensor | None:
        try:
            return read_pixels(data.root / path, mode, window)
        except UnreadableImage:  # training says so, if it comes to this image
            return None

    with ThreadPoolExecutor(max(1, worker_count(None, len(paths)))) as threads:
        for first in range(0, len(paths), DECODED_AT_ONCE):
            yield from threads.map(decode, paths[first : first + DECODED_AT_ONCE])


def _append(file: BinaryIO, hashed: Any, pixels: Tensor | None) -> tuple[int, int]:
    """Write an image; returns its height and width."""
    if pixels is None:
        return 0, 0
    values = pixels.permute(1, 2, 0).contiguous().numpy()
    file.write(values.data)
    hashed.update(values.data)
    return values.shape[0], values.shape[1]


def _with_suffix(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)
