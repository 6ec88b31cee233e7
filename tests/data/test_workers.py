import os

import pytest

from hemf.data.workers import FEW_IMAGES, MOST_WORKERS, worker_count


def test_what_is_asked_for_is_done():
    assert worker_count(0, 10_000) == 0
    assert worker_count(3, 1, devices=4) == 3


@pytest.mark.parametrize(
    ("cores", "devices", "workers"), [(2, 1, 2), (16, 1, MOST_WORKERS), (16, 4, 4), (2, 4, 1)]
)
def test_one_a_core_shared_among_the_devices(monkeypatch, cores, devices, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert worker_count(None, FEW_IMAGES + 1, devices) == workers
    assert worker_count(None, FEW_IMAGES, devices) == 0
