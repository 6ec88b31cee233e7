"""Ctrl-C, SIGTERM and a full disk: one line that says what it was, and a run that goes on."""

import io
import os
import resource
import signal
import subprocess
import sys

import pytest
import torch
from rich.console import Console

import hemf
from hemf import HemfError
from hemf.core.files import write_text
from hemf.data.loading.workers import killed_workers_explained
from hemf.models.hub import save_model
from hemf.training.callbacks.checkpoints import WholeCheckpointIO
from hemf.training.stopping import resumable


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=300)


@pytest.fixture
def small_disk():
    """No file grows over 20 kB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def worker_died() -> None:
    """What a signal to the process group does: a reading process is dead before we are told."""
    with killed_workers_explained():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")


@pytest.mark.parametrize("act", [lambda: os.kill(os.getpid(), signal.SIGTERM), worker_died])
def test_sigterm_says_so_and_leaves_with_143(console, tmp_path, act):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, resumable(tmp_path / "my run", console):
        act()
    assert caught.value.code == 143
    said = console.file.getvalue()
    assert said == f"stopped by SIGTERM; continue with: hemf train --resume '{tmp_path / 'my run'}'\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_does_not_cut_short_the_clearing_up(console, tmp_path):
    cleared = []

    def act():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleared.append(True)

    with pytest.raises(KeyboardInterrupt), resumable(tmp_path, console):
        act()
    assert cleared
    assert console.file.getvalue().startswith(
        "stopped by Ctrl-C (SIGINT); continue with: hemf train --resume"
    )


@pytest.mark.parametrize("error", [HemfError("bad"), ValueError("worse"), OSError(2, "no such file")])
def test_other_errors_pass(console, tmp_path, error):
    with pytest.raises(type(error)) as caught, resumable(tmp_path, console):
        raise error
    assert caught.value is error
    assert console.file.getvalue() == ""


def write_checkpoint(folder):
    WholeCheckpointIO().save_checkpoint({"weights": torch.zeros(100_000)}, folder / "last.ckpt")


def write_plainly(folder):
    (folder / "events").write_bytes(bytes(100_000))


def write_whole(folder):
    write_text(folder / "metrics.csv", "x" * 100_000)


def write_model(folder):
    import timm

    model = timm.create_model("test_resnet", num_classes=2)
    save_model(
        model, folder, architecture="test_resnet", model_args={}, classes=["a", "b"], pretrained_cfg={}
    )


def write_rust(folder):
    from safetensors.torch import save_file

    save_file({"weights": torch.zeros(100_000)}, folder / "model.safetensors")


def write_curves(folder):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as writer:
        for step in range(2000):
            writer.add_scalar("loss", 1.0, step)


@pytest.mark.parametrize(
    "write", [write_checkpoint, write_plainly, write_whole, write_model, write_rust, write_curves]
)
def test_a_full_disk_is_one_line_whichever_library_writes(console, tmp_path, small_disk, write):
    with pytest.raises(HemfError, match=r"cannot write into .*; free the disk, then") as caught:  # noqa: SIM117
        with resumable(tmp_path, console):
            write(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob(".*"))


def test_a_run_that_a_full_disk_stopped_goes_on(train, tmp_path, monkeypatch):
    whole = train(name="whole")
    calls, save = [], torch.save

    def full(checkpoint, file):
        calls.append(True)
        if len(calls) == 3:  # in the second epoch
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        save(checkpoint, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(HemfError, match="No space left on device; free the disk, then continue"):
            train(name="run")
    run = hemf.train(resume=str(tmp_path / "runs" / "run"))
    weights = [path / "model" / "model.safetensors" for path in (whole.path, run.path)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_the_whole_process_group(tiny, tmp_path, number, code):
    options = tiny | {"out": tmp_path, "name": "run", "epochs": 500, "workers": 2}
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "hemf", "train", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("epoch 2/"):
                os.killpg(process.pid, number)
        errors = process.stderr.read()
        assert process.wait(60) == code, errors
    assert "stopped by" in lines[-1]
    assert f"hemf train --resume {tmp_path / 'run'}" in lines[-1]
    assert "memory" not in errors
    assert "Traceback" not in errors
    assert "DataLoader" not in errors
