"""Images through an exported model, one after the other, in constant memory and without torch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from hemf.core.errors import HemfError
from hemf.core.machine import MOST_READERS, usable_cores
from hemf.data.image.decode import ImageMode
from hemf.data.image.empty import emptiness
from hemf.data.image.read import read_image
from hemf.data.loading.prepared import Prepared
from hemf.data.preprocessing import pixels_of, standardised
from hemf.runtime.exported import ExportedModel

T = TypeVar("T")
Reader = Callable[[Any, ImageMode, str], Image.Image]
Read = tuple[np.ndarray | None, str | None, str | None]


def stream_outputs(
    model: ExportedModel,
    items: Sequence[Any],
    batch_size: int = 32,
    workers: int | None = None,
    read: Reader = read_image,
    on_empty: Callable[[Any, str], None] | None = None,
) -> Iterator[tuple[Any, np.ndarray | None, str | None]]:
    """Yield the outputs of images, in their order.

    Args:
        model: the model.
        items: image files, whatever ``read`` takes, or images already ``Prepared`` for this model.
        batch_size: images that go through the model at once.
        workers: threads that read images while the model computes; by default one a core, at most 8.
        read: from an item, an image mode and a window to a PIL image.
        on_empty: called with an item and what it is, where an image shows nothing (see ``emptiness``).

    Yields:
        (item, outputs, None) with K float32, or (item, None, message) where the image is unreadable.

    Raises:
        HemfError: bad options, or outputs that are not finite.
    """
    if batch_size < 1 or (workers is not None and workers < 0):
        raise HemfError(f"--batch-size is {batch_size}, --workers {workers}; give at least 1 and at least 0")
    number = _readers(len(items)) if workers is None else max(1, workers)
    with ThreadPoolExecutor(number) as pool:
        reading = _ahead(pool, lambda item: _pixels(model, item, read), items, batch_size + 2 * number)
        for batch in _batches(zip(items, reading, strict=True), batch_size):
            pixels = [found[0] for _, found in batch if found[0] is not None]
            rows = iter(_computed(model, pixels))
            for item, (seen, error, nothing) in batch:
                if nothing is not None and on_empty is not None:
                    on_empty(item, nothing)
                row = None if seen is None else next(rows)
                if row is not None and not np.isfinite(row).all():
                    raise HemfError(f"the model's outputs for {item} are not finite; export it as fp32")
                yield item, row, error


def prepare_for(model: ExportedModel, item: Any, read: Reader = read_image) -> Prepared:
    """Read an image now, to go through a model later; arguments are those of ``stream_outputs``."""
    found = _pixels(model, item, read)
    return Prepared(item, found, found[1], found[2])


def watched(results: Iterable[T], total: int, words: str) -> Iterator[T]:
    """Yield the same results, with a progress bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(results, words, total, console=console, transient=True, disable=not console.is_terminal)


def _readers(images: int) -> int:
    """Count the threads that read; a single image does not ask how many cores there are."""
    return 1 if images == 1 else min(MOST_READERS, usable_cores())


def _computed(model: ExportedModel, pixels: list[np.ndarray]) -> np.ndarray:
    """Return the outputs for those images of a batch that could be read."""
    if not pixels:
        return np.empty((0, 0), np.float32)
    return model.compute(standardised(np.stack(pixels), model.spec))


def _pixels(model: ExportedModel, item: Any, read: Reader) -> Read:
    """Read an image: what the network sees, why it cannot be read, and what it is where it shows nothing."""
    if isinstance(item, Prepared):
        return item.read
    try:
        image = read(item, model.spec.image_mode, model.spec.window)
        return pixels_of(image, model.spec), None, emptiness(image)
    except HemfError as error:
        return None, str(error), None
    except MemoryError:
        return None, f"{item} needs more memory than there is; shrink it, or leave it out", None


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[Any], Read], items: Sequence[Any], most: int
) -> Iterator[Read]:
    """Yield the function's results in the items' order, ``most`` of them begun beforehand."""
    left = iter(items)
    begun: deque[Future[Read]] = deque(pool.submit(function, item) for item in islice(left, most))
    try:
        while begun:
            yield begun.popleft().result()
            begun.extend(pool.submit(function, item) for item in islice(left, 1))
    finally:
        for future in begun:
            future.cancel()


def _batches(pairs: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(pairs, size)):
        yield batch
