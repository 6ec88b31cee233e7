import io
from types import SimpleNamespace

import torch
from rich.console import Console

from hemf.training.callbacks import progress as progress_module
from hemf.training.callbacks.progress import RunProgress


def trainer(epoch: int) -> SimpleNamespace:
    return SimpleNamespace(
        current_epoch=epoch,
        max_epochs=4,
        world_size=1,
        is_global_zero=True,
        callback_metrics={"train_loss": torch.tensor(0.5), "val_accuracy": torch.tensor(0.75)},
        num_val_batches=[7],
        lightning_module=SimpleNamespace(measures=["train_loss", "val_accuracy"]),
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.1}])],
    )


def run_epoch(progress: RunProgress, epoch: int) -> None:
    progress.on_train_epoch_start(trainer(epoch), None)
    progress.on_train_batch_end(
        trainer(epoch), None, {"loss": torch.tensor(0.6)}, {"index": torch.arange(10)}, 0
    )
    progress.on_train_epoch_end(trainer(epoch), None)


def test_a_line_an_epoch_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), width=300)
    progress = RunProgress(console, images=10)
    progress.on_train_start(trainer(1), None)
    for epoch in (1, 2):
        run_epoch(progress, epoch)
    lines = console.file.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 2/4", "epoch 3/4"]
    assert all(word in lines[0] for word in ("train_loss 0.5000", "val_accuracy 0.7500", "images/s", "left"))


def test_a_bar_on_a_terminal():
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    progress = RunProgress(console, images=10, monitor="val_accuracy")
    progress.on_train_start(trainer(0), None)
    run_epoch(progress, 0)
    bar = progress.bar
    assert "val_accuracy" not in bar.tasks[0].fields["status"]  # nothing was validated before
    run_epoch(progress, 1)
    progress.on_exception(trainer(1), None, KeyboardInterrupt())
    assert bar.tasks[0].completed == 20
    assert bar.tasks[0].total == 40
    assert bar.tasks[0].fields["status"].startswith("loss 0.6000, val_accuracy 0.7500, ")
    assert all(word in bar.tasks[0].fields["status"] for word in ("images/s", "left"))
    assert bar.finished is False
    assert progress.bar is None


def test_within_an_epoch_a_log_file_has_a_line_a_minute(monkeypatch):
    now = 0.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    console = Console(file=io.StringIO(), width=300)
    progress = RunProgress(console, images=1000)
    progress.on_train_start(trainer(0), None)
    progress.on_train_epoch_start(trainer(0), None)
    for batch in range(10):
        now += 25.0
        progress.on_train_batch_end(
            trainer(0), None, {"loss": torch.tensor(0.6)}, {"index": torch.zeros(100)}, batch
        )
    for batch in range(4):
        now += 25.0
        progress.on_validation_batch_end(trainer(0), None, None, {}, batch)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "epoch 1/4: 300 of 1000 images, loss 0.6000, 4.0 images/s, 0:15:25 left"
    assert [line.split(",")[0] for line in lines[1:3]] == [
        "epoch 1/4: 600 of 1000 images",
        "epoch 1/4: 900 of 1000 images",
    ]
    assert lines[3:] == ["epoch 1/4: validating, batch 2 of 7"]
