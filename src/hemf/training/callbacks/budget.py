"""An end to the training where its time is over."""

import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from rich.console import Console


class Budget(Callback):
    """Stops training at the end of an epoch if another one as long as the longest would go beyond a budget.

    The clock starts when this is made, and goes on where it was in a run that is resumed.

    Args:
        console: where to say it.
        budget: as the user wrote it.
        seconds: the same in seconds.
    """

    def __init__(self, console: Console, budget: str, seconds: float) -> None:
        self.console, self.budget, self.seconds = console, budget, seconds
        self.started, self.before, self.longest = time.monotonic(), 0.0, 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self._used(), "longest": self.longest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before, self.longest = state_dict["seconds"], state_dict["longest"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epoch_started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.longest = max(self.longest, time.monotonic() - self.epoch_started)
        done = trainer.current_epoch + 1
        beyond = self._used() + self.longest > self.seconds
        if done != trainer.max_epochs and trainer.strategy.reduce_boolean_decision(beyond, all=False):
            trainer.should_stop = True
            self.console.print(
                f"stopping after epoch {done} of {trainer.max_epochs}: another would go beyond the budget of "
                f"{self.budget}"
            )

    def _used(self) -> float:
        return self.before + time.monotonic() - self.started
