"""Threads and cores: what is chosen, what the user set is kept, and what a busy machine is spared."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hemf
from hemf.core import machine
from hemf.core.machine import MOST_READERS, computing_on, model_threads, reading_cores, usable_cores


@pytest.fixture
def cores(monkeypatch):
    """A machine of a number of cores, of which torch would take all, and no wish of the user."""

    def pretend(number: int) -> None:
        monkeypatch.setattr(machine, "usable_cores", lambda: number)
        monkeypatch.setattr(machine, "ASKED_THREADS", False)
        monkeypatch.setattr(torch, "get_num_threads", lambda: number)

    return pretend


@pytest.mark.parametrize("number", [1, 2, 3, 4, 8, 16, 64, 256])
@pytest.mark.parametrize("devices", [1, 2, 4])
def test_model_and_readers_do_not_exceed_the_cores(cores, number, devices):
    cores(number)
    threads, readers = model_threads(devices), reading_cores(devices)
    assert threads >= 1
    assert readers <= MOST_READERS
    assert devices * (threads + readers) <= max(number, devices)


def test_the_readers_of_a_gpu_have_all_cores(cores):
    cores(6)
    assert (reading_cores(on_cpu=False), model_threads(on_cpu=False)) == (6, 1)
    cores(32)
    assert (reading_cores(on_cpu=False), model_threads(on_cpu=False)) == (8, 24)


def test_the_user_s_threads_are_kept_and_the_rest_reads(cores, monkeypatch):
    cores(8)
    monkeypatch.setattr(machine, "ASKED_THREADS", True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert (model_threads(), reading_cores()) == (6, 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 12)
    assert (model_threads(), reading_cores()) == (12, 0)


def test_a_lower_number_of_torch_s_own_is_kept(cores, monkeypatch):
    cores(8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert model_threads() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_the_affinity_counts_not_the_machine():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_threads_are_set_for_a_while():
    before = torch.get_num_threads()
    with computing_on(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["PASSIVE", "1000"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", None]),
        ({"GOMP_SPINCOUNT": "7"}, [None, "7"]),
    ],
)
def test_threads_wait_passively_unless_the_user_wants_otherwise(asked, found):
    environment = {name: value for name, value in os.environ.items() if name not in machine.WAITING}
    code = (
        "import hemf, json, os, sys; assert 'torch' not in sys.modules; "
        "print(json.dumps([os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | asked, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == found


def test_no_pool_is_as_large_as_the_whole_machine():
    """A container or a cluster's job may use few of its cores; only a description counts them all."""
    sources = [path for root in hemf.__path__ for path in Path(root).rglob("*.py")]
    asking = [path.name for path in sources if "cpu_count()" in path.read_text(encoding="utf-8")]
    assert sorted(asking) == ["machine.py", "speed.py"]
