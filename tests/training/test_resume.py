"""A run that is killed and resumed ends with the same bytes as one that was not.

One process imports torch and hemf once and forks a child for each run; the child kills itself with SIGKILL
at a chosen moment, another child resumes the run.
"""

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
from hemf.training import finish, module
from hemf.training.callbacks import checkpoints, metrics_table
import mapie.conformity_scores, sklearn.metrics  # here, not in every child

def die():
    os.kill(os.getpid(), 9)

def kill_at(moment, count):
    calls = 0
    def at(owner, name, act):
        original = getattr(owner, name)
        def counted(*args, **kwargs):
            nonlocal calls
            calls += 1
            return act(original, args, kwargs) if calls == count else original(*args, **kwargs)
        setattr(owner, name, counted)
    def before(original, args, kwargs):
        die()
    def during(original, args, kwargs):
        checkpoint, file = args
        original(*args)
        file.truncate(file.tell() // 2)
        file.flush()
        die()
    def after(original, args, kwargs):
        original(*args, **kwargs)
        die()
    {
        "step": lambda: at(module.ImageClassifier, "training_step", before),
        "validation": lambda: at(module.ImageClassifier, "validation_step", before),
        "writing": lambda: at(torch, "save", during),
        "written": lambda: at(checkpoints.WholeCheckpointIO, "save_checkpoint", after),
        "table": lambda: at(metrics_table, "write_text", after),
        "export": lambda: at(finish, "save_model", before),
    }[moment]()

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

def killed(run):
    kill_at(*run["kill"])
    hemf.train(**run["options"])

for run in json.loads(sys.stdin.read()):
    folder = os.path.join(run["options"]["out"], run["options"]["name"])
    if not run["kill"]:
        assert child(lambda: hemf.train(**run["options"])) == 0, run
        continue
    assert child(lambda: killed(run)) == -9, run
    assert child(lambda: hemf.train(resume=folder, workers=run["workers"])) == 0, run
"""

ALL = {
    "epochs": 3,
    "model_args": {"drop_rate": 0.2, "drop_path_rate": 0.2},
    "mixup": 0.4,
    "cutmix": 0.4,
    "ema": 0.9,
    "accumulate": 2,
    "clip_grad": 1.0,
    "monitor": "loss",
}


def train_and_kill(tiny: dict, out: Path, kills: list, workers: int, **options) -> dict[str, Path]:
    """A run for each of ``kills``, and one that is not killed under the name ``whole``."""
    common = tiny | ALL | options | {"out": str(out)}
    names = ["whole", *("-".join(map(str, kill)) for kill in kills)]
    runs = [
        {
            "options": common | {"name": name, "workers": workers if kill else 0},
            "kill": kill,
            "workers": workers,
        }
        for name, kill in zip(names, [None, *kills], strict=True)
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(runs), capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return {name: out / name for name in names}


def assert_same(run: Path, whole: Path) -> None:
    for file in ("model/model.safetensors", "model/config.json", "metrics.csv"):
        assert (run / file).read_bytes() == (whole / file).read_bytes(), f"{run.name}: {file}"
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_killed_in_an_epoch_and_in_a_checkpoint(tiny, tmp_path):
    kills = [
        ("step", 3),
        ("step", 11),
        ("validation", 5),
        ("table", 2),
        ("writing", 4),
        ("written", 3),
        ("export", 1),
    ]
    runs = train_and_kill(tiny, tmp_path, kills, workers=0)
    for name in runs:
        assert_same(runs[name], runs["whole"])
    assert '"temperature"' in (runs["whole"] / "model" / "config.json").read_text()
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in runs.values()]
    assert len(set(weights)) == 1


@pytest.mark.slow
def test_killed_with_processes_that_read(tiny, tmp_path):
    runs = train_and_kill(tiny, tmp_path, [("step", 12), ("written", 4)], workers=2)
    for name in runs:
        assert_same(runs[name], runs["whole"])


def test_killed_after_stopping_early(tiny, tmp_path):
    options = {"epochs": 6, "patience": 1, "lr": 0.0, "model": "test_vit", "ema": None}
    runs = train_and_kill(tiny, tmp_path, [("export", 1), ("step", 10)], workers=0, **options)
    for name in runs:
        assert_same(runs[name], runs["whole"])
    assert len((runs["whole"] / "metrics.csv").read_text().splitlines()) == 1 + 2
