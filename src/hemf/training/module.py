"""The model, its loss, its optimiser and its metrics, as Lightning sees them."""

import hashlib
import random
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import timm
import torch
from pytorch_lightning import LightningModule
from timm.optim import create_optimizer_v2, list_optimizers
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

import hemf.models  # noqa: F401  registers our models with timm
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.machine import memory_bytes
from hemf.core.precision import float32_logits
from hemf.core.registry import suggestion
from hemf.data.transforms import InputSpec
from hemf.losses import build_loss
from hemf.models.constructor import TooLargeError, network_arguments, shapes_of
from hemf.tasks import check_task
from hemf.training.distillation import Distillation, Teacher
from hemf.training.schedule import lr_factor
from hemf.training.validation_metrics import VALIDATION_METRICS
from hemf.weights.hub import pretrained_model
from hemf.weights.load import Loaded, head_names, zero_head

if TYPE_CHECKING:
    from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig

    from hemf.core.precision import TimmModel
    from hemf.data.loading.datamodule import ImageData

MOST_TENSORS = 20_000
"""Of a network with arguments of one's own; the deepest of timm have some 3,000."""

Mixer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class ImageClassifier(LightningModule):
    """A timm model in training.

    Every random number of a step comes from (seed, epoch, batch, rank), so that a step does not depend on
    the steps before it except through the weights.

    Args:
        config: the run's options.
        counts: training images of each class, in the order of the classes.
        paths: the training images' paths, to name those of a bad batch.
        mixer: MixUp or CutMix, ``(images, labels) -> (images, class shares)``; None for neither.

    Raises:
        HemfError: model, its arguments, the image size, loss or optimiser do not exist or do not fit.
    """

    def __init__(
        self, config: RunConfig, counts: Sequence[int], paths: Sequence[str], mixer: Mixer | None = None
    ) -> None:
        super().__init__()
        self.config, self.paths, self.mixer, self.task = config, paths, mixer, check_task(config)
        outputs = self.task.outputs(len(counts))
        self.model = build_model(config, outputs).to(memory_format=torch.channels_last)
        self.loss = build_loss(config, counts)
        self.metrics = VALIDATION_METRICS.find(self.task.name)(outputs)
        self.loaded: Loaded | None = None  # what was made of --init
        self.distillation: Distillation | None = None
        build_optimizer(config, self.model)  # so that a wrong name is found before anything else is done
        if config.compile:
            self.model.compile()  # in place: the names of the weights stay

    def learn_from(self, teacher: Teacher, classes: Sequence[str]) -> None:
        """Let a teacher's share of the loss come from what it makes of every batch.

        Raises:
            HemfError: the two networks have nothing to compare.
        """
        seed_everything(self.config.seed)
        spec, heat = InputSpec.from_config(self.config), self.config.teacher_temperature
        self.distillation = Distillation(teacher, self.model, spec, classes, self.task, heat)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits ``(B, K)`` of images ``(B, C, H, W)``, as ``hemf evaluate`` computes them."""
        return float32_logits(self.model, images)

    def on_train_epoch_start(self) -> None:
        """Keep fixed what is to be: all but the head in the first epochs, the statistics of normalisation."""
        begin_epoch: Callable[[int, int], None] | None = getattr(self.loss, "begin_epoch", None)
        if begin_epoch is not None:
            begin_epoch(self.current_epoch, self.config.epochs)
        if not (self.config.freeze_epochs or self.config.freeze_norm):
            return
        alone = self.trainer.world_size == 1  # else the processes exchange the gradients of all weights
        for weight in self._body():
            weight.requires_grad_(not (self._frozen and alone))
        for layer in self.model.modules():
            if getattr(layer, "track_running_stats", False):
                layer.train(not (self._frozen or self.config.freeze_norm))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._frozen:
            for weight in self._body():
                weight.grad = None

    @property
    def _frozen(self) -> bool:
        return self.current_epoch < self.config.freeze_epochs

    def _body(self) -> list[nn.Parameter]:
        """Return the weights of everything but the head."""
        head = head_names(self.model)
        return [weight for name, weight in self.model.named_parameters() if name not in head]

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        seed_everything(self.config.seed, self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        images = batch["image"]
        loss = self.loss_of(images, batch["label"])
        if not torch.isfinite(loss):
            raise HemfError(self._not_finite(f"step {batch_idx + 1}", loss, batch["index"]))
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
        return loss

    def loss_of(self, images: Tensor, target: Tensor) -> Tensor:
        """Compute what a training step lessens, of images ``(B, C, H, W)`` and their targets."""
        if self.mixer is not None:
            images, target = self.mixer(images, target)
        if self.distillation is None:
            return self._own_loss(self.model(images), target)
        outputs, distance = self.distillation(self.model, images)
        share = self.config.teacher_weight
        return (1 - share) * self._own_loss(outputs, target) + share * distance

    def _own_loss(self, outputs: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor:
        heads = outputs if isinstance(outputs, tuple) else (outputs,)  # Conformer trains on two
        return reduce(torch.add, (self.loss(logits.float(), target) for logits in heads)) / len(heads)

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

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.metrics.update(self(batch["image"]), batch["label"])

    def on_validation_epoch_end(self) -> None:
        values = self.metrics.compute()
        self.metrics.reset()
        self.log_dict({f"val_{name}": value for name, value in values.items()})

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
        if self.distillation is not None and (weights := list(self.distillation.parameters())):
            optimizer.add_param_group({"params": weights})
        images: ImageData = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]  # set by ``fit``
        batches = len(images.train_dataloader())
        steps_per_epoch = -(-batches // self.config.accumulate)

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
            f"cannot build {config.model}{what} with {arguments or 'no arguments'}: {_line(error)}; "
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
            f"{config.model} does not work on images of {height} x {width}: {_line(error)}; "
            "change --image-size"
        ) from error
    if logits.shape != (1, num_classes):
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


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
