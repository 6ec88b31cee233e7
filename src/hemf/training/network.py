"""A network in training, as Lightning sees it: how it is built, its optimiser, and what keeps it sound."""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import timm
import torch
from pytorch_lightning import LightningModule
from rich.console import Console
from timm.layers import convert_sync_batchnorm
from timm.optim import create_optimizer_v2, list_optimizers
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

import hemf.models  # noqa: F401  registers our models with timm
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.machine import memory_bytes
from hemf.core.registry import suggestion
from hemf.core.text import one_line
from hemf.data.dataset import DataSet
from hemf.models.constructor import TooLargeError, network_arguments, shapes_of
from hemf.runs.folder import Run
from hemf.training.processes import RunningStatistics
from hemf.training.schedule import lr_factor
from hemf.weights.hub import pretrained_model
from hemf.weights.input import input_line
from hemf.weights.load import Loaded, zero_head

if TYPE_CHECKING:
    from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig

    from hemf.core.precision import TimmModel
    from hemf.data.loading.datamodule import ImageData
    from hemf.training.distillation import Teacher

MOST_TENSORS = 20_000
"""Of a network with arguments of one's own; the deepest of timm have some 3,000."""


class Kind(Protocol):
    """A kind of training: what it learns, where the ways of all kinds part."""

    verb: str
    """The command that trains and resumes, for messages."""

    def load(self, run: Path) -> DataSet:
        """Read the images of a run that is taken up."""
        ...

    def build(self, config: Any, data: DataSet) -> "tuple[ImageData, Any]":
        """Build the batches and the network of a run.

        Raises:
            HemfError: the data cannot be trained on, or the options do not fit.
        """
        ...

    def announce(self, console: Console, config: Any, images: Any, network: Any, precision: str) -> None:
        """Say what is trained on what."""
        ...

    def before_epochs(
        self,
        console: Console,
        path: Path | None,
        config: Any,
        images: Any,
        network: Any,
        devices: int,
    ) -> Run | None:
        """Do what comes before the first epoch; returns the run if there is nothing else to do."""
        ...

    def finish(self, console: Console, path: Path, config: Any, images: Any, network: Any) -> Run:
        """Write the model of a run whose epochs are trained."""
        ...

    def kept(self, path: Path) -> dict[str, float]:
        """Return the measures of what a finished run keeps in place of its best epoch; mostly nothing is."""
        ...


class TrainedNetwork(LightningModule):
    """A timm model in training; what it learns from a batch its subclasses say in ``loss_of``.

    Every random number of a batch comes from (seed, epoch, number of the batch), so that a step does not
    depend on the steps before it except through the weights, nor on how many processes share its batches.

    Args:
        config: the run's options.
        outputs: of the network; 0 gives its pooled features.
        paths: the training images' paths, to name those of a bad batch.

    Raises:
        HemfError: model, its arguments, the image size or optimiser do not exist or do not fit.
    """

    measures: Sequence[str] = ("train_loss",)
    """Names of the logged values that ``metrics.csv`` and the console show."""

    def __init__(self, config: RunConfig, outputs: int, paths: Sequence[str]) -> None:
        super().__init__()
        self.config, self.paths = config, paths
        self.model = build_model(config, outputs).to(memory_format=torch.channels_last)
        self.statistics: RunningStatistics | None = None  # where several processes train
        self.loaded: Loaded | None = None  # what was made of --init
        if config.sync_batchnorm:
            self.model = cast("TimmModel", convert_sync_batchnorm(self.model))
        build_optimizer(config, self.model)  # so that a wrong name is found before anything else is done
        if config.compile:
            self.model.compile()  # in place: the names of the weights stay

    @property
    def teacher(self) -> "Teacher | None":
        """What it learns from, beside the images."""
        return None

    def model_line(self, precision: str) -> str:
        """Describe the network in words."""
        millions = sum(p.numel() for p in self.model.parameters()) / 1e6
        size = " x ".join(map(str, self.config.input_size[1:]))
        return f"model: {self.config.model}, {millions:.2f} M parameters, {size} pixels, {precision}"

    def weights_lines(self) -> list[str]:
        """Describe its first weights, and the input that follows them; nothing where it has none."""
        if self.loaded is None and not self.config.pretrained:
            return []
        return [line for line in (str(self.loaded or ""), input_line(self.config)) if line]

    def loss_of(self, images: Tensor, target: Tensor) -> Tensor:
        """Compute what a training step lessens, of images ``(B, C, H, W)`` and their targets."""
        raise NotImplementedError

    def learnt_beside(self) -> list[nn.Parameter]:
        """Return weights that are learnt but are no part of the model."""
        return []

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        number = batch_idx * self.trainer.world_size + self.global_rank  # as ``EpochSampler`` deals them out
        seed_everything(self.config.seed, self.current_epoch, number, 0)
        if self.trainer.world_size > 1:
            self.statistics = RunningStatistics(self.model, self.trainer.strategy)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        images = batch["image"]
        loss = self.loss_of(images, batch["label"])
        if not torch.isfinite(loss):
            raise HemfError(self._not_finite(f"step {batch_idx + 1}", loss, batch["index"]))
        size = len(batch["index"])
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def on_after_backward(self) -> None:
        if self.statistics is not None:
            self.statistics.agree(self.global_rank, self.trainer.world_size)

    def _not_finite(self, where: str, loss: Tensor, index: Tensor) -> str:
        places: list[int] = index.tolist()
        names = ", ".join(self.paths[i] for i in places)
        return (
            f"the loss is {loss.item()} in epoch {self.current_epoch + 1}, {where}, on the images {names}; "
            f"{self._remedy()}"
        )

    def _remedy(self) -> str:
        tries = [f"a lower --lr (now {self.config.lr:g})"]
        if self.config.clip_grad is None:
            tries.append("--clip-grad 1")
        if self.trainer.precision != "32-true":
            tries.append("--precision fp32")
        return f"try {' or '.join(tries)}, and look at these images; the last good checkpoint stays"

    def on_train_epoch_end(self) -> None:
        """Let no checkpoint be written that holds weights that are not finite."""
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])
        for name, weight in self.model.named_parameters():
            if not torch.isfinite(weight).all():
                raise HemfError(
                    f"the weights of {name} are not finite after epoch {self.current_epoch + 1}; "
                    f"{self._remedy()}"
                )

    def configure_optimizers(self) -> "OptimizerLRSchedulerConfig":
        optimizer = build_optimizer(self.config, self.model)
        if weights := self.learnt_beside():
            optimizer.add_param_group({"params": weights})
        steps_per_epoch = self._steps_per_epoch()

        def factor(step: int) -> float:
            return lr_factor(
                step,
                steps=self.config.epochs * steps_per_epoch,
                warmup_steps=self.config.warmup_epochs * steps_per_epoch,
                warmup_factor=self.config.warmup_factor,
                min_lr_factor=self.config.min_lr_factor,
            )

        scheduler = LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the schedule up at the epoch that was reached, whatever its number of steps is here."""
        done = checkpoint["hemf"]["epochs"] * self._steps_per_epoch()
        for schedule in checkpoint["lr_schedulers"]:
            schedule["last_epoch"] = done

    def _steps_per_epoch(self) -> int:
        images: ImageData = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]  # set by ``fit``
        return -(-len(images.train_dataloader()) // self.config.accumulate)


def seed_everything(*keys: int) -> None:
    """Seed Python, NumPy and torch from a hash of ``keys``."""
    digest = hashlib.sha256(",".join(map(str, keys)).encode()).digest()
    random.seed(int.from_bytes(digest[:8]))
    np.random.seed(int.from_bytes(digest[8:12]))
    torch.manual_seed(int.from_bytes(digest[12:20]) >> 1)


def model_args(config: RunConfig) -> dict[str, Any]:
    """Return the arguments of the model's constructor: the run's, and the image size if it is built for one.

    Raises:
        HemfError: no model of that name.
    """
    if not timm.is_model(config.model):
        hint = suggestion(config.model, timm.list_models(), "see timm.list_models()")
        raise HemfError(f"no model {config.model!r}; {hint}")
    arguments = dict(config.model_args)
    pretrained_cfg = timm.get_pretrained_cfg(config.model)
    if pretrained_cfg is not None and pretrained_cfg.fixed_input_size:
        arguments.setdefault("img_size", config.input_size[1:])
    if config.in_chans != 3:
        arguments["in_chans"] = config.in_chans
    return arguments


def build_model(config: RunConfig, num_classes: int) -> "TimmModel":
    """Build the run's model, seeded and tried once on an image of the run's size.

    Raises:
        HemfError: no such model, arguments it does not take, or a size it does not work at.
    """
    arguments = model_args(config)
    check_size(config, num_classes, arguments)
    seed_everything(config.seed)
    try:
        model = _created(config, num_classes, arguments)
    except HemfError:
        raise
    except (TypeError, ValueError, RuntimeError, AssertionError, OSError, KeyError) as error:
        what = " with pretrained weights" if config.pretrained else ""
        raise HemfError(
            f"cannot build {config.model}{what} with {arguments or 'no arguments'}: {one_line(error)}; "
            "change --model-args, --image-size or --pretrained"
        ) from error
    _try_out(model, config, num_classes)
    return model


def check_size(config: RunConfig, num_classes: int, arguments: dict[str, Any]) -> None:
    """Refuse a network that this machine cannot hold, before memory is taken for it.

    Raises:
        HemfError: its arguments make it so large.
    """
    if not config.model_args:
        return  # of timm's own sizes
    own = network_arguments(arguments) | {"num_classes": num_classes}
    try:
        shapes_of(config.model, own, MOST_TENSORS, memory_bytes() // 16)  # weights, gradients, two moments
    except TooLargeError as error:
        raise HemfError(f"{error} on this machine; change --model-args") from error
    except ValueError:
        return  # building it says what does not fit


def _created(config: RunConfig, num_classes: int, arguments: dict[str, Any]) -> "TimmModel":
    """Build the model by timm.

    Raises:
        HemfError: its pretrained weights are not here and cannot be fetched.
    """
    if not config.pretrained:
        return cast("TimmModel", timm.create_model(config.model, num_classes=num_classes, **arguments))
    model = pretrained_model(config.model, num_classes=num_classes, **arguments)
    if model.pretrained_cfg.get("num_classes") != num_classes:
        zero_head(model)
    return model


def _try_out(model: nn.Module, config: RunConfig, num_classes: int) -> None:
    channels, height, width = config.input_size
    try:
        with torch.inference_mode():
            logits = model.eval()(torch.zeros(1, channels, height, width))
    except (ValueError, RuntimeError, AssertionError) as error:
        raise HemfError(
            f"{config.model} does not work on images of {height} x {width}: {one_line(error)}; "
            "change --image-size"
        ) from error
    if num_classes and logits.shape != (1, num_classes):
        raise HemfError(
            f"{config.model} gives outputs of shape {tuple(logits.shape)} instead of (1, {num_classes}); "
            "choose a model that classifies, and check --model-args"
        )
    model.train()


def build_optimizer(config: RunConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Build timm's optimiser of that name, with weight decay on tensors of more than one dimension only.

    Raises:
        HemfError: no optimiser of that name.
    """
    known = [str(name) for name in list_optimizers()]
    if config.optimizer.lower() not in known:
        hint = suggestion(config.optimizer.lower(), known, "see timm.optim.list_optimizers()")
        raise HemfError(f"no optimizer {config.optimizer!r}; {hint}")
    optimizer = create_optimizer_v2(
        model,
        opt=config.optimizer,
        lr=config.lr,
        weight_decay=config.weight_decay,
        filter_bias_and_bn=True,
        layer_decay=config.layer_decay,
    )
    for group in optimizer.param_groups:  # timm leaves this to its own schedulers
        group["lr"] *= group.get("lr_scale", 1.0)
    return optimizer
