"""``metrics.csv``: what each epoch came to."""

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from hemf.core.files import write_text

if TYPE_CHECKING:
    from hemf.training.network import TrainedNetwork


class MetricsTable(Callback):
    """``metrics.csv``, one row an epoch; an undefined value is an empty cell.

    The rows travel in the checkpoint and the file is written whole, so a resumed run repeats and lacks none.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rows.append(
            {"epoch": trainer.current_epoch + 1, "step": trainer.global_step} | epoch_metrics(trainer)
        )
        if self.path is not None:
            text = io.StringIO(newline="")
            table = csv.DictWriter(text, self.rows[0], lineterminator="\n")
            table.writeheader()
            table.writerows({name: _cell(value) for name, value in row.items()} for row in self.rows)
            write_text(self.path, text.getvalue())


def epoch_metrics(trainer: Trainer) -> dict[str, float]:
    """Return the training loss, measures and learning rate of the epoch that has just ended."""
    logged = trainer.callback_metrics
    names = cast("TrainedNetwork", trainer.lightning_module).measures
    values = {name: logged[name].item() for name in names if name in logged}
    return values | {"lr": trainer.optimizers[0].param_groups[0]["lr"]}


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}" if isinstance(value, float) else str(value)
