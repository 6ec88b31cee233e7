"""Images of many requests in common batches: read by several threads, computed by one."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.data.image.decode import ImageBytes
from hemf.data.loading.prepared import Prepared
from hemf.inference.classifier import Prediction
from hemf.serving.limits import Limits
from hemf.serving.metrics import Metrics
from hemf.serving.models import Served
from hemf.serving.refusals import Refused

T = TypeVar("T")
LONGEST_RETRY = 60  # seconds that a client is told to wait, at most
REMEMBERED = 0.2  # weight of the last batch in the running mean of the seconds that an image takes

Source = ImageBytes | Any
"""A file in memory, or an image given as pixels."""

Answered = tuple[Prediction | HemfError, str | None]
"""What a model says of an image or why it says nothing, and what the image is where it shows nothing."""


@dataclass
class _Waiting:
    served: Served
    image: Prepared
    answer: "asyncio.Future[Prediction | HemfError]"
    since: float


class Batcher:
    """Answers for images; made and used within one event loop.

    Images are read by ``limits.readers`` threads while the batch before them is computed by another. An image
    that is read goes into the next batch as soon as that has ``limits.batch`` images, or no other image is
    being read, or it has waited ``limits.delay`` seconds.

    Args:
        limits: how many images, and how long they wait.
        metrics: where batches and images are counted.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.limits, self.metrics = limits, metrics
        self.held = self.explaining = 0
        self._waiting: deque[_Waiting] = deque()
        self._reading = 0
        self._changed = asyncio.Event()
        self._seconds = 0.01  # that an image takes, a running mean
        self._readers = ThreadPoolExecutor(limits.readers, "reader")
        self._computer = ThreadPoolExecutor(1, "computer")  # all models share the cores, so one at a time
        self._explainers = asyncio.Semaphore(1)
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compute batches inside the block, and finish those that are waiting at its end."""
        self._task = task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            while self.held:
                await asyncio.sleep(0.01)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._readers.shutdown(cancel_futures=True)
            self._computer.shutdown(cancel_futures=True)

    @property
    def is_running(self) -> bool:
        """Whether batches are computed."""
        return self._task is not None and not self._task.done()

    @contextmanager
    def room(self, images: int) -> Iterator[None]:
        """Hold places for so many images inside the block.

        Raises:
            Refused: there is no room, now or ever.
        """
        if images > self.limits.queue:
            held = f"the {self.limits.queue} that are held"
            raise Refused(413, f"{counted(images, 'image')} in one request, more than {held}; send fewer")
        if self.held + images > self.limits.queue:
            raise self.busy(f"the queue holds {counted(self.held, 'image')}")
        self._hold(images)
        try:
            yield
        finally:
            self._hold(-images)

    def busy(self, what: str) -> Refused:
        """Return the refusal that says when to come again."""
        seconds = min(LONGEST_RETRY, max(1, math.ceil(self.held * self._seconds)))
        return Refused(429, f"{what}; come again in {seconds} s", {"Retry-After": str(seconds)})

    async def predict(self, served: Served, images: Sequence[Source]) -> list[Answered]:
        """Return what a model says of images, or why one cannot be read; the caller has made ``room``.

        Images of one request that are read go into batches together, in their order.
        """
        with self._being_read(len(images)):
            prepared = await asyncio.gather(*(self.read(served.classifier.prepare, one) for one in images))
        waiting = [self._queued(served, one) for one in prepared if one.error is None]
        self._changed.set()
        answers = iter(await asyncio.gather(*waiting))
        return [(next(answers) if one.error is None else HemfError(one.error), one.empty) for one in prepared]

    async def read(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run what reads or writes an image in one of the threads for it."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *arguments)

    @asynccontextmanager
    async def turn_to_explain(self) -> AsyncIterator[None]:
        """Wait for this request's turn; one picture is held under its heat map at a time.

        Raises:
            Refused: too many wait.
        """
        if self.explaining >= self.limits.explaining:
            raise self.busy(f"{self.explaining} heat maps are waiting")
        self.explaining += 1
        try:
            async with self._explainers:
                yield
        finally:
            self.explaining -= 1

    async def compute(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run what uses a model between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._computer, work, *arguments)

    def _hold(self, images: int) -> None:
        self.held += images
        self.metrics.held.set(self.held)

    @contextmanager
    def _being_read(self, images: int) -> Iterator[None]:
        self._reading += images
        try:
            yield
        finally:
            self._reading -= images
            self._changed.set()

    def _queued(self, served: Served, image: Prepared) -> "asyncio.Future[Prediction | HemfError]":
        loop = asyncio.get_running_loop()
        one = _Waiting(served, image, loop.create_future(), loop.time())
        self._waiting.append(one)
        return one.answer

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._waiting:
                await self._company()
                count = min(self.limits.batch, len(self._waiting))
                await self._answer([self._waiting.popleft() for _ in range(count)])
            if self._waiting:
                self._changed.set()

    async def _company(self) -> None:
        """Wait until the next batch is full, nobody else is being read, or its first image's time is up."""
        until = self._waiting[0].since + self.limits.delay
        while self._reading and len(self._waiting) < self.limits.batch:
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                return
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    async def _answer(self, batch: list[_Waiting]) -> None:
        """Compute a batch, each model's images together; those whose request has ended are left out."""
        loop = asyncio.get_running_loop()
        batch = [one for one in batch if not one.answer.done()]
        for served in {id(one.served): one.served for one in batch}.values():
            own = [one for one in batch if one.served is served]
            start = loop.time()
            for one in own:
                self.metrics.waited.observe(start - one.since)
            try:
                found = await self.compute(served.predict, [one.image for one in own])
            except Exception as error:  # of whatever library; the requests tell, the server goes on
                for one in own:
                    _settle(one.answer, error)
                continue
            self._measured(len(own), loop.time() - start)
            for one, answer in zip(own, found, strict=True):
                _settle(one.answer, answer)

    def _measured(self, images: int, seconds: float) -> None:
        self._seconds += REMEMBERED * (seconds / images - self._seconds)
        self.metrics.batch.observe(images)
        self.metrics.computed.observe(seconds)


def _settle(future: "asyncio.Future[Any]", result: Any) -> None:
    if future.done():  # its request has ended meanwhile
        return
    if isinstance(result, Exception) and not isinstance(result, HemfError):
        future.set_exception(result)
    else:
        future.set_result(result)
