"""Classifies what waits in the queue, one image after the other, and makes what is to be sent."""

import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import dcmwrite
from pydicom.dataset import Dataset

from hemf.core.errors import HemfError
from hemf.core.files import whole_file
from hemf.data.image.decode import ImageBytes
from hemf.data.image.limits import check_bytes
from hemf.node.queue import STALE, Queue, Result, Waiting
from hemf.node.results.about import About, new_uid
from hemf.node.results.secondary_capture import heat_picture, secondary_capture
from hemf.node.results.structured_report import structured_report
from hemf.node.source import Filter, read_source

if TYPE_CHECKING:
    from hemf.inference.classifier import Classifier, Prediction

PAUSE = 5.0
"""Seconds before the next try where the disk, the memory or the model fails."""
NAME = "the image"


class Worker:
    """What classifies; its ``run`` is a thread's.

    Args:
        queue: where images wait.
        classifier: the model.
        about: what results say of it.
        wanted: which images it is for.
        overlay: whether a heat map is made too.
    """

    def __init__(
        self, queue: Queue, classifier: "Classifier", about: About, wanted: Filter, overlay: bool
    ) -> None:
        self.queue, self.classifier, self.about = queue, classifier, about
        self.wanted, self.overlay = wanted, overlay

    def run(self, ending: threading.Event) -> None:
        """Classify until the end is asked for; the image at hand is finished."""
        cleared = time.monotonic()
        while not ending.is_set():
            try:
                if not self.step():
                    self.queue.wait(1.0)
                if time.monotonic() > cleared + STALE:
                    self.queue.clear()
                    cleared = time.monotonic()
            except (HemfError, OSError, sqlite3.Error, MemoryError, RuntimeError) as error:
                words = f"an image could not be classified ({type(error).__name__}); trying again"
                print(f"hemf node: {words}", file=sys.stderr, flush=True)
                ending.wait(PAUSE)

    def step(self) -> bool:
        """Classify the next image; returns whether there was one.

        Raises:
            HemfError, OSError, sqlite3.Error, MemoryError, RuntimeError: what is not the image's fault, as a
                full disk; it waits on.
        """
        image = self.queue.next_waiting()
        if image is None:
            return False
        try:
            source = self._source(image)
            found, data = self._prediction(image.path)
            objects = self._objects(image, source, found, data)
        except HemfError as error:
            self.queue.refuse(image, str(error))
            return True
        except Exception as error:  # whose words may be the header's
            self.queue.failed(image, f"failed with {type(error).__name__}")
            raise
        results = [self._written(image, made) for made in objects]
        self.queue.made(image, results)
        return True

    def _source(self, image: Waiting) -> Dataset:
        """Return whose an image is and what of, once it is one for the model."""
        source = read_source(image.path)
        if self.queue.is_own(image.sop_instance):
            raise HemfError("it was made by this node")
        if source.SOPInstanceUID != image.sop_instance:
            raise HemfError("its SOP Instance UID is another than its sender said")
        self.wanted.check(source)
        return source

    def _prediction(self, path: Path) -> "tuple[Prediction, ImageBytes]":
        check_bytes(NAME, path.stat().st_size)
        data = ImageBytes(NAME, path.read_bytes())  # by whose name messages call it
        prepared = self.classifier.prepare(data)
        if prepared.error is not None:
            raise HemfError(prepared.error)
        if prepared.empty:
            raise HemfError(f"it shows nothing: it is {prepared.empty}")
        (found,) = self.classifier.predict(prepared, batch_size=1, workers=0)
        return found, data

    def _objects(
        self, image: Waiting, source: Dataset, found: "Prediction", data: ImageBytes
    ) -> list[Dataset]:
        """Make what is sent of an image, under UIDs that are new."""
        makers: list[Callable[[], Dataset]] = [
            lambda: structured_report(found, source, self.about, new_uid(), image.id)
        ]
        if self.overlay:
            picture = heat_picture(self.classifier, data, found.label)
            makers.append(lambda: secondary_capture(*picture, source, self.about, new_uid(), image.id))
        try:
            return [make() for make in makers]
        except Exception as error:  # the words of a library may be the header's
            kind = type(error).__name__
            raise HemfError(f"no report can be made of it ({kind}): its header is unusual") from None

    def _written(self, image: Waiting, made: Dataset) -> Result:
        """Write an object beside the queue, whole and on disk."""
        instance = str(made.SOPInstanceUID)
        path = self.queue.results / f"{instance}.dcm"
        with whole_file(path) as temporary:
            dcmwrite(temporary, made, enforce_file_format=True)
        return Result(instance, image.id, path)
