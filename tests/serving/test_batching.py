"""How images of many requests become batches: full ones, none waited for too long, each its own fault."""

import asyncio
import time
from typing import Any

import pytest

from hemf.core.errors import HemfError
from hemf.data.loading.prepared import Prepared
from hemf.inference.classifier import Prediction
from hemf.serving.batching import Batcher
from hemf.serving.limits import Limits
from hemf.serving.metrics import Metrics
from hemf.serving.models import Served
from hemf.serving.refusals import Refused


class Fake:
    """A classifier of numbers that takes its time and notes its batches; 13 is what it cannot do."""

    def __init__(self, reading: float = 0.0, computing: float = 0.0) -> None:
        self.reading, self.computing, self.batches = reading, computing, []

    def prepare(self, image: Any) -> Prepared:
        time.sleep(self.reading * (image % 2))
        return Prepared(image, None, "7 cannot be read" if image == 7 else None, None)

    def predict(self, images: list[Prepared], batch_size: int, workers: int) -> list[Prediction]:
        self.batches.append([one.item for one in images])
        time.sleep(self.computing)
        if any(one.item == 13 for one in images):
            raise HemfError("the outputs are not finite")
        return [Prediction(None, str(one.item), {str(one.item): 1.0}) for one in images]


def batched(fake: Any, requests: list[list[int]], **limits: Any) -> list[Any]:
    """Answers to requests that come at once: labels, or what they are refused with."""
    served = Served("fake", fake, "0")

    async def one(batcher: Batcher, images: list[int]) -> Any:
        try:
            with batcher.room(len(images)):
                found = await batcher.predict(served, images)
        except Refused as refused:
            return refused
        return [str(said) if isinstance(said, HemfError) else said.label for said, _ in found]

    async def all_of_them() -> list[Any]:
        batcher = Batcher(Limits(**{"readers": 2} | limits), Metrics())
        async with batcher.running():
            found = await asyncio.gather(*(one(batcher, images) for images in requests))
        assert batcher.held == 0
        return found

    return asyncio.run(all_of_them())


def test_images_of_one_request_keep_their_order_and_their_batch() -> None:
    fake = Fake()
    assert batched(fake, [[5, 2, 4]]) == [["5", "2", "4"]]
    assert fake.batches == [[5, 2, 4]]


def test_those_who_wait_fill_the_next_batches() -> None:
    fake = Fake(computing=0.05)
    found = batched(fake, [[i] for i in range(20, 40)], batch=8)
    assert found == [[str(i)] for i in range(20, 40)]
    assert len(fake.batches) <= 4
    assert max(map(len, fake.batches)) == 8


def test_an_image_waits_for_others_no_longer_than_the_delay() -> None:
    start = time.perf_counter()
    fake = Fake(reading=1.0)
    batched(fake, [[2], [3]], delay=0.05)
    assert fake.batches == [[2], [3]]
    fake = Fake(reading=0.3)
    batched(fake, [[2], [3]], delay=20.0)
    assert fake.batches == [[2, 3]]
    assert time.perf_counter() - start < 15


def test_what_cannot_be_read_or_computed_fails_alone() -> None:
    fake = Fake(computing=0.01)
    assert batched(fake, [[1, 7], [13], [2]], delay=0.5) == [
        ["1", "7 cannot be read"],
        ["the outputs are not finite"],
        ["2"],
    ]


def test_a_full_queue_says_when_to_come_again() -> None:
    *served, full = batched(Fake(computing=0.05), [[1], [2], [3]], queue=2)
    assert served == [["1"], ["2"]]
    assert (full.status, full.headers) == (429, {"Retry-After": "1"})
    (never,) = batched(Fake(), [[1, 2, 3]], queue=2)
    assert never.status == 413


def test_a_failure_of_the_model_ends_its_requests_and_not_the_server() -> None:
    class Failing(Fake):
        def predict(self, images: list[Prepared], batch_size: int, workers: int) -> list[Prediction]:
            raise ZeroDivisionError

    async def try_it() -> bool:
        batcher = Batcher(Limits(readers=1), Metrics())
        async with batcher.running():
            with batcher.room(1), pytest.raises(ZeroDivisionError):
                await batcher.predict(Served("fake", Failing(), "0"), [1])
            return batcher.is_running

    assert asyncio.run(try_it())


def test_a_request_that_ends_early_leaves_its_place_and_no_work() -> None:
    fake = Fake(computing=0.2)

    async def try_it() -> None:
        batcher, served = Batcher(Limits(readers=2), Metrics()), Served("fake", fake, "0")
        async with batcher.running():
            first = asyncio.create_task(batcher.predict(served, [2]))
            await asyncio.sleep(0.05)
            second = asyncio.create_task(batcher.predict(served, [4]))
            await asyncio.sleep(0.05)
            second.cancel()
            await first
            assert (await batcher.predict(served, [6]))[0][0].label == "6"

    asyncio.run(try_it())
    assert fake.batches == [[2], [6]]
