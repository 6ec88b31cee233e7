"""Shows a run to people: a line for each epoch, and on a terminal a bar over the whole run."""

import time
from datetime import timedelta
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor

from hemf.core.text import counted
from hemf.training.callbacks.metrics_table import epoch_metrics

SILENCE = 60.0  # seconds that a log file says nothing at most


class RunProgress(Callback):
    """Loss, validation metrics, images per second and time left.

    Where there is no terminal, a line an epoch, and within an epoch at least a line a minute.

    Args:
        console: where to write.
        images: training images in an epoch, over all devices.
        monitor: validation metric that the bar shows, of the epoch before; None for none.
    """

    def __init__(self, console: Console, images: int, monitor: str | None = None) -> None:
        self.console, self.images, self.monitor = console, images, monitor
        self.validated = ""
        self.bar: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started, self.first_epoch = time.monotonic(), trainer.current_epoch
        self.spoken = self.started
        assert trainer.max_epochs is not None, "the options say how many"
        self.epochs = trainer.max_epochs
        if self.console.is_terminal and trainer.is_global_zero:
            self.bar = Progress(
                TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[status]}"),
                console=self.console,
                transient=True,
            )
            self.task = self.bar.add_task(
                "train", total=self.epochs * self.images, epoch=1, epochs=self.epochs, status=""
            )
            self.bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epoch_started, self.seen, self.training_time = time.monotonic(), 0, 0.0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Tensor],
        batch_idx: int,
    ) -> None:
        self.training_time = time.monotonic() - self.epoch_started
        self.seen = min(self.images, self.seen + len(batch["index"]) * trainer.world_size)
        if self.bar is None:
            done = f"{self.seen} of {counted(self.images, 'image')}"
            part = f"{done}, loss {outputs['loss']:.4f}, {self._speed(trainer)}"
            self._say_once_a_minute(trainer, part)
        else:
            self.bar.update(
                self.task,
                completed=trainer.current_epoch * self.images + self.seen,
                epoch=trainer.current_epoch + 1,
                status=f"loss {outputs['loss'].item():.4f}, {self.validated}{self._speed(trainer)}",
            )

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.bar is None:
            batches = trainer.num_val_batches[dataloader_idx]
            self._say_once_a_minute(trainer, f"validating, batch {batch_idx + 1} of {batches}")

    def _say_once_a_minute(self, trainer: Trainer, part: str) -> None:
        if trainer.is_global_zero and time.monotonic() - self.spoken >= SILENCE:
            self._say(trainer, part)

    def _say(self, trainer: Trainer, text: str) -> None:
        self.console.print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {text}")
        self.spoken = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            values = {name: value for name, value in epoch_metrics(trainer).items() if name != "lr"}
            if self.monitor in values:
                self.validated = f"{self.monitor} {values[self.monitor]:.4f}, "
            text = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
            self._say(trainer, f"{text}, {self._speed(trainer)}")

    def _speed(self, trainer: Trainer) -> str:
        done = (trainer.current_epoch - self.first_epoch) * self.images + self.seen
        left = (self.epochs - trainer.current_epoch) * self.images - self.seen
        seconds = round((time.monotonic() - self.started) / done * left)
        return f"{self.seen / self.training_time:.1f} images/s, {timedelta(seconds=seconds)} left"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
