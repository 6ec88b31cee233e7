"""Several processes that train as one: the same steps on any number, and one line where one is lost."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

import hemf
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.training.lightning import check_hardware
from hemf.training.processes import shared_among


@given(batch=st.integers(1, 64), accumulate=st.integers(1, 8), began=st.integers(1, 9), now=st.integers(1, 9))
def test_the_images_of_a_step_stay_and_no_batch_grows(batch, accumulate, began, now):
    config = RunConfig(batch_size=batch, accumulate=accumulate)
    images = batch * accumulate * began
    if began != now and images % now:
        with pytest.raises(HemfError, match=f"{images} images? a step, which {now} cannot share evenly"):
            shared_among(config, began, now)
        return
    found = shared_among(config, began, now)
    assert found.batch_size * found.accumulate * now == images
    assert found.batch_size <= batch
    assert (found == config) or began != now


@pytest.mark.parametrize(
    ("began", "now", "accumulate", "expected"),
    [(4, 1, 1, (16, 4)), (4, 2, 1, (16, 2)), (1, 2, 2, (16, 1)), (1, 2, 1, (8, 1)), (3, 2, 1, (12, 2))],
)
def test_batches_stay_whole_where_they_can(began, now, accumulate, expected):
    found = shared_among(RunConfig(batch_size=16, accumulate=accumulate), began, now)
    assert (found.batch_size, found.accumulate) == expected


def test_joined_batch_normalisation_is_not_for_the_cpu():
    config = RunConfig(accelerator="cpu", devices=2, strategy="ddp", sync_batchnorm=True)
    with pytest.raises(HemfError, match="on a CPU; leave out --sync-batchnorm"):
        check_hardware(config)


def test_joined_batch_normalisation_of_one_process_is_its_own(train):
    own, joined = (train(epochs=1, name=str(on), sync_batchnorm=on).path for on in (False, True))
    assert largest_difference(own, joined) == 0
    assert hemf.load(str(joined)).classes


def largest_difference(one: Path, other: Path) -> float:
    """Return the largest difference between two runs' weights, as a share of a tensor's largest value."""
    a, b = (load_file(run / "model" / "model.safetensors") for run in (one, other))
    assert a.keys() == b.keys()
    numbers = [name for name in a if a[name].is_floating_point()]
    return max(float((a[n] - b[n]).abs().max() / a[n].abs().max().clamp(min=1e-3)) for n in numbers)


def rows(run: Path) -> list[dict[str, str]]:
    """Return what ``metrics.csv`` holds."""
    file = run / "metrics.csv"
    return list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []


def hemf_train(*arguments: str) -> subprocess.Popen:
    """Start ``hemf train`` in a process of its own."""
    command = [sys.executable, "-m", "hemf", "train", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_schedule_is_one_of_epochs_whatever_their_steps_are(train):
    whole = train(name="whole", epochs=2, batch_size=4, warmup_epochs=1).path
    run = train(name="run", epochs=2, batch_size=4, warmup_epochs=1, budget="0.001s").path
    assert len(rows(run)) == 1
    about = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(about | {"processes": 3}))
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    state["hemf"]["stopped_early"] = False
    torch.save(state, run / "checkpoints" / "last.ckpt")
    hemf.train(resume=str(run))
    assert [row["lr"] for row in rows(run)] == [row["lr"] for row in rows(whole)]
    assert int(rows(run)[-1]["step"]) < int(rows(whole)[-1]["step"])


@pytest.mark.slow
def test_two_processes_one_of_them_lost_and_one_after_them_train_as_one(colours, tmp_path):
    options = f"--data {colours} --out {tmp_path} --recipe paper --model test_efficientnet --image-size 32"
    options += " --epochs 8 --batch-size 5 --precision fp32 --accelerator cpu --workers 0 --ema 0.9"
    options += " --mixup 0.4 --lr 1e-3"
    two = hemf_train(*options.split(), "--name", "two", "--devices", "2", "--strategy", "ddp")
    run = tmp_path / "two"
    while two.poll() is None and not (run / "checkpoints" / "last.ckpt").exists():
        time.sleep(0.02)
    other = int(Path(f"/proc/{two.pid}/task/{two.pid}/children").read_text().split()[-1])
    os.kill(other, 9)
    said = two.communicate(timeout=120)
    assert two.returncode == 2, said
    assert len(rows(run)) < 8, "it was not stopped in time"
    line = "another process of this training has ended, see what it says; then continue with: hemf train"
    assert f"{line} --resume {run}" in said[1]
    assert "Traceback" not in said[1]

    resumed = hemf_train("--resume", str(run), "--devices", "1")
    said = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, said
    assert "10 images a step, as when the run began: batches of 5 on 1 device, --accumulate 2" in said[0]
    one = hemf_train(*options.split(), "--name", "one", "--devices", "1", "--accumulate", "2")
    said = one.communicate(timeout=120)
    assert one.returncode == 0, said

    pairs = list(zip(rows(run), rows(tmp_path / "one"), strict=True))
    assert len(pairs) == 8
    assert all(a["step"] == b["step"] and a["lr"] == b["lr"] for a, b in pairs)
    assert largest_difference(run, tmp_path / "one") < 1e-4
