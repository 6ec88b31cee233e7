"""Lightning's trainer, as a run's options ask."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.console import Console

from hemf.config.run_config import RunConfig
from hemf.core.device import device_type
from hemf.core.errors import HemfError
from hemf.core.machine import usable_cores
from hemf.core.precision import LIGHTNING, Precision, resolve_precision
from hemf.core.text import one_line
from hemf.data.loading.datamodule import ImageData
from hemf.tasks import direction
from hemf.training.callbacks.budget import Budget
from hemf.training.callbacks.checkpoints import Checkpoints, WholeCheckpointIO
from hemf.training.callbacks.ema import EMA
from hemf.training.callbacks.metrics_table import MetricsTable
from hemf.training.callbacks.progress import RunProgress

if TYPE_CHECKING:
    pass


def picked_precision(config: RunConfig) -> Precision:
    """Return the precision that a run asks for, or the one the hardware is fast at."""
    return resolve_precision(config.precision, device_type(config.accelerator))


def first_device(config: RunConfig) -> str:
    """Return torch's name of the device that a run computes on, the first of several."""
    return device_type(config.accelerator) if config.device == "auto" else config.device


def build_trainer(
    config: RunConfig, images: ImageData, precision: str, path: Path | None, console: Console
) -> Trainer:
    """Return Lightning's trainer; it writes into ``path``, which the first process alone has to know.

    Raises:
        HemfError: Lightning refuses the hardware options, or there is nothing to stop early by.
    """
    return _trainer(
        config,
        precision,
        max_epochs=config.epochs,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip_grad,
        callbacks=_callbacks(config, images, path, console),
        logger=TensorBoardLogger(path, name="", version="tensorboard", default_hp_metric=False)
        if path
        else False,
        plugins=[WholeCheckpointIO()],
        default_root_dir=path,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def check_hardware(config: RunConfig) -> int:
    """Check that the devices are there and take the precision, which needs no image.

    Returns:
        How many processes train, one a device.

    Raises:
        HemfError: they are not, or do not.
    """
    precision = picked_precision(config)
    quick = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    processes = _trainer(config, precision, **quick).world_size
    if config.sync_batchnorm and processes > 1 and device_type(config.accelerator) == "cpu":
        raise HemfError("torch joins no batch normalisation on a CPU; leave out --sync-batchnorm")
    return processes


def _callbacks(config: RunConfig, images: ImageData, path: Path | None, console: Console) -> list[Callback]:
    monitor = f"val_{config.monitor}" if images.val_split else None
    callbacks: list[Callback] = [
        MetricsTable(path / "metrics.csv" if path else None),
        RunProgress(console, len(images.samples("train")), monitor),
        Checkpoints(path, monitor, direction(config)),
    ]
    if config.ema is not None:
        callbacks.append(EMA(config.ema))
    if config.budget is not None:
        callbacks.append(Budget(console, config.budget, config.seconds))
    if config.patience is not None:
        if monitor is None:
            raise HemfError(
                "early stopping needs validation images; leave out --patience or give --val-split val"
            )
        callbacks.append(
            EarlyStopping(monitor, patience=config.patience, mode=direction(config), check_finite=False)
        )
    return callbacks


def _trainer(config: RunConfig, precision: str, **settings: Any) -> Trainer:
    most = max(8, usable_cores())
    if (
        device_type(config.accelerator) == "cpu"
        and str(config.devices).isdecimal()
        and int(config.devices) > most
    ):
        raise HemfError(f"--devices {config.devices} is as many processes of this CPU; give at most {most}")
    try:
        with quiet():
            return Trainer(
                accelerator=config.accelerator,
                devices=config.devices,
                num_nodes=config.num_nodes,
                strategy=config.strategy,
                precision=LIGHTNING[precision],
                **settings,
            )
    except (  # Lightning's words for bad flags
        MisconfigurationException,
        ValueError,
        RuntimeError,
        TypeError,
        ImportError,
    ) as error:
        raise HemfError(
            f"Lightning cannot use --accelerator {config.accelerator} --devices {config.devices} --strategy "
            f"{config.strategy}: {one_line(error)}; change them"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning tells its own users, which ours cannot act on."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", module="pytorch_lightning|lightning_fabric|torch.optim.lr_scheduler"
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
