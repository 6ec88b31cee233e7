"""The checkpoints of a run: what they hold, how they are written, read and taken up."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeGuard

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback, Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from hemf.core.errors import HemfError
from hemf.core.files import whole_file
from hemf.core.text import one_line
from hemf.training.callbacks.metrics_table import epoch_metrics

if TYPE_CHECKING:
    from hemf.data.loading.datamodule import ImageData


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and reads it without running any code in it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write ``checkpoint`` to ``path``; what was there stays until the new file is complete on disk.

        Raises:
            HemfError: the disk is full or the folder cannot be written.
        """
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Read the checkpoint at ``path`` onto the CPU."""
        return read_checkpoint(path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read the tensors and plain values of a checkpoint, on the CPU.

    Raises:
        HemfError: it is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = one_line(error).split(". ")[0]
        raise HemfError(f"cannot read the checkpoint {path}: {reason}; restore it or train again") from error


OF_LIGHTNING = {
    **{"state_dict": dict, "loops": dict, "callbacks": dict, "epoch": int},
    **{"optimizer_states": list, "lr_schedulers": list},
}
"""What a run is taken up from beside its own progress; Lightning would begin anew what is not there."""


@dataclass(frozen=True)
class Progress:
    """How far a run had come when a checkpoint was written.

    Args:
        epochs: epochs that were trained.
        stopped_early: whether the monitored metric had ended the training.
        best: number and measures of the epoch that is kept.
        data: hash of the images, classes and split.
    """

    epochs: int
    stopped_early: bool
    best: dict[str, float]
    data: str

    @classmethod
    def of(cls, state: Any, path: str | Path) -> Self:
        """Return the progress in the checkpoint ``state``, which was read from ``path``.

        Raises:
            HemfError: it is not a checkpoint of ``hemf train``.
        """
        own = state.get("hemf") if isinstance(state, dict) else None
        kinds = {"epochs": int, "stopped_early": bool, "best": dict, "data": str}
        if not (
            _holds(own, kinds)
            and all(isinstance(value, int | float) for value in own["best"].values())
            and _holds(state, OF_LIGHTNING)
        ):
            raise HemfError(f"{path} is not a whole checkpoint of hemf train; restore it or train again")
        return cls(**{name: own[name] for name in kinds})


def _holds(value: Any, kinds: dict[str, type]) -> TypeGuard[dict[str, Any]]:
    """Return whether a mapping has an entry of each kind, and no list among them is empty."""
    return isinstance(value, dict) and all(
        isinstance(value.get(name), kind) and (kind is not list or value[name])
        for name, kind in kinds.items()
    )


def restore(module: LightningModule, state: Any, path: str | Path) -> None:
    """Give a module the weights in ``state``, which was read from the checkpoint at ``path``.

    Raises:
        HemfError: they are not its weights.
    """
    try:
        module.load_state_dict(state["state_dict"])
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise _foreign(path, error) from error


def _foreign(path: str | Path, error: Exception) -> HemfError:
    """Return the error of a checkpoint that does not fit, and of how it was found out."""
    reason = one_line(error, 200)
    return HemfError(
        f"the checkpoint {path} does not belong to this run ({reason}); restore it or train again"
    )


@contextmanager
def restored_from(path: Path | None, trainer: Trainer) -> Iterator[None]:
    """Fit inside the block from the checkpoint at ``path``; one line says where it does not fit the run.

    Raises:
        HemfError: Lightning cannot take up the state in it, which may hold anything.
    """
    begun = Begun()
    trainer.callbacks.append(begun)  # pyright: ignore[reportAttributeAccessIssue]  # undeclared
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        if path is None or begun.training:
            raise
        raise _foreign(path, error) from error


class Begun(Callback):
    """Knows whether the training has begun, which is after all of a checkpoint has been restored."""

    training = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.training = True


class Checkpoints(Checkpoint):
    """``best.ckpt`` and ``last.ckpt``, after every epoch.

    Of epochs that the monitored metric ties, the one with the lowest validation loss is the best, then the
    earliest.

    ``last.ckpt`` is written at the very end of an epoch and holds all that the next one depends on; a run
    that is killed before goes back to where the epoch began and repeats it, number for number.

    Args:
        run: the run's folder; needed on the first process only, which tells the others.
        monitor: logged metric that chooses the best epoch; None keeps the last.
        mode: ``max`` or ``min``.
    """

    def __init__(self, run: Path | None, monitor: str | None, mode: str) -> None:
        self.run, self.monitor, self.mode = run, monitor, mode
        self.best: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.run = trainer.strategy.broadcast(self.run)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        images: ImageData = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]  # set by ``fit``
        progress = Progress(trainer.current_epoch + 1, trainer.should_stop, self.best, images.data.hash)
        checkpoint["hemf"] = asdict(progress)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self.run is not None, "setup has told every process"
        values = {"epoch": trainer.current_epoch + 1} | epoch_metrics(trainer)
        if self.monitor is None:
            self.best = values
        elif self._is_better(values):
            self.best = values
            trainer.save_checkpoint(self.run / "checkpoints" / "best.ckpt")
        trainer.save_checkpoint(self.run / "checkpoints" / "last.ckpt")

    def _is_better(self, values: dict[str, float]) -> bool:
        if not self.best or self.monitor is None:
            return True
        new, old = values[self.monitor], self.best[self.monitor]
        if new == old:  # few validation images: accuracy moves in steps, the loss does not
            return values["val_loss"] < self.best["val_loss"]
        better = new > old if self.mode == "max" else new < old
        return better or (math.isnan(old) and not math.isnan(new))
