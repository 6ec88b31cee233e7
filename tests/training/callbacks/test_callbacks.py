import math

import pytest
import torch

from hemf import HemfError
from hemf.training.callbacks.checkpoints import Checkpoints, WholeCheckpointIO, read_checkpoint
from hemf.training.callbacks.ema import EMA


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    WholeCheckpointIO().save_checkpoint({"epoch": torch.tensor(1)}, path)

    def fails(checkpoint, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(HemfError, match=r"cannot write .*last\.ckpt: No space left"):
        WholeCheckpointIO().save_checkpoint({"epoch": torch.tensor(2)}, path)
    assert read_checkpoint(path)["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"trap": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(HemfError, match="cannot read the checkpoint"):
        read_checkpoint(tmp_path / "trap.ckpt")


def test_a_damaged_or_missing_checkpoint_is_named(tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(b"PK\x03\x04 cut off")
    for name in ("bad.ckpt", "none.ckpt"):
        with pytest.raises(HemfError, match=name) as caught:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_moving_average_of_weights_and_statistics_but_not_of_indices():
    average = EMA(0.5)._kwargs["multi_avg_fn"]
    averaged, count = [torch.tensor([1.0, 0.0])], torch.tensor(1)
    average(averaged, [torch.tensor([3.0, 0.0])], count)
    decay = (1 + 1) / (10 + 1)  # smaller than 0.5 so early
    torch.testing.assert_close(averaged[0], torch.tensor([1.0 * decay + 3.0 * (1 - decay), 0.0]))
    average(averaged := [torch.tensor([1.0])], [torch.tensor([3.0])], torch.tensor(100))
    torch.testing.assert_close(averaged[0], torch.tensor([2.0]))
    average(indices := [torch.tensor([7])], [torch.tensor([12])], torch.tensor(100))
    assert indices[0] == 12


@pytest.mark.parametrize(("mode", "second"), [("max", 0.1), ("min", 9.0)])
def test_an_epoch_that_could_not_be_measured_is_never_the_best(tmp_path, mode, second):
    kept = Checkpoints(tmp_path, "val_f1", mode)
    kept.best = {"val_f1": math.nan}
    assert kept._is_better({"val_f1": second})
    kept.best = {"val_f1": second}
    assert not kept._is_better({"val_f1": math.nan})


@pytest.mark.parametrize(
    ("scores", "losses", "best"),
    [
        ([1.0, 1.0, 1.0], [0.063, 0.012, 0.012], 2),  # the lower loss, then the earlier epoch
        ([0.9, 1.0, 0.9], [0.1, 0.2, 0.01], 2),  # a tie alone is broken
        ([1.0, 1.0], [0.1, math.nan], 1),
    ],
)
def test_ties_are_broken_by_the_validation_loss(tmp_path, scores, losses, best):
    kept = Checkpoints(tmp_path, "val_accuracy", "max")
    for epoch, (score, loss) in enumerate(zip(scores, losses, strict=True), 1):
        values = {"epoch": epoch, "val_accuracy": score, "val_loss": loss}
        if kept._is_better(values):
            kept.best = values
    assert kept.best["epoch"] == best


def test_a_monitored_loss_that_ties_keeps_the_earlier_epoch(tmp_path):
    kept = Checkpoints(tmp_path, "val_loss", "min")
    kept.best = {"val_loss": 0.5}
    assert not kept._is_better({"val_loss": 0.5})
