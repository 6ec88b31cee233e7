import pytest

from hemf.core import machine
from hemf.core.errors import HemfError
from hemf.data.loading.workers import FEW_IMAGES, killed_workers_explained, worker_count


def test_what_is_asked_for_is_done():
    assert worker_count(0, 10_000) == 0
    assert worker_count(3, 1, devices=4) == 3


@pytest.mark.parametrize(("cores", "devices", "workers"), [(2, 1, 2), (16, 1, 8), (16, 4, 4), (2, 4, 1)])
def test_one_a_core_shared_among_the_devices(monkeypatch, cores, devices, workers):
    monkeypatch.setattr(machine, "usable_cores", lambda: cores)
    assert worker_count(None, FEW_IMAGES + 1, devices) == workers
    assert worker_count(None, FEW_IMAGES, devices) == 0


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        ("Killed", "memory runs out"),
        ("Bus error", "shared memory"),
        ("Terminated", r"told to end \(SIGTERM\)"),
        ("Segmentation fault", "crashed in a decoder"),
    ],
)
def test_the_signal_that_ended_a_reading_process_is_named(signal, words):
    with pytest.raises(HemfError, match=words) as caught, killed_workers_explained():
        raise RuntimeError(f"DataLoader worker (pid 7) is killed by signal: {signal}. It is possible that")
    assert ("memory" in str(caught.value)) == (signal in ("Killed", "Bus error"))


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match="something else"), killed_workers_explained():
        raise RuntimeError("something else")
