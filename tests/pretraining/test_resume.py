"""A pretraining that is killed and resumed ends with the same bytes as one that was not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, sys, traceback
import torch
torch.set_num_threads(1)
import hemf
from hemf.pretraining import run as pretraining
from hemf.pretraining.module import Pretraining
import sklearn.metrics  # here, not in every child

def child(act):
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def killed(owner, name, count, options):
    original, calls = getattr(owner, name), []
    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            os.kill(os.getpid(), 9)
        return original(*args, **kwargs)
    setattr(owner, name, counted)
    hemf.pretrain(**options)

options = json.loads(sys.stdin.read())
assert child(lambda: hemf.pretrain(**options, name="whole")) == 0
for name, owner, method, count in (
    ("step", Pretraining, "training_step", 11),
    ("model", pretraining, "save_model", 1),
):
    assert child(lambda: killed(owner, method, count, options | {"name": name})) == -9, name
    assert child(lambda: hemf.pretrain(resume=os.path.join(options["out"], name))) == 0, name
"""
FILES = ("model/model.safetensors", "metrics.csv", "neighbours.png")


@pytest.mark.slow
def test_killed_in_a_step_and_before_the_model(colours: Path, tmp_path: Path):
    options = {
        **{"data": str(colours), "out": str(tmp_path), "model": "test_efficientnet", "method": "vicreg"},
        **{
            "image_size": 32,
            "epochs": 3,
            "batch_size": 8,
            "precision": "fp32",
            "device": "cpu",
            "workers": 0,
        },
        **{"ema": 0.9, "accumulate": 2, "model_args": {"drop_rate": 0.2, "drop_path_rate": 0.2}},
    }
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, input=json.dumps(options), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    for name in ("step", "model"):
        for file in FILES:
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), (
                name,
                file,
            )
        assert [one.name for one in (tmp_path / name / "checkpoints").iterdir()] == ["last.ckpt"]
