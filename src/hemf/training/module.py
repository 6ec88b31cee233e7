"""The classifier in training: its loss, its validation metrics, and what it learns from a teacher."""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from hemf.config.run_config import RunConfig
from hemf.core.precision import float32_logits
from hemf.data.preprocessing import InputSpec
from hemf.losses import build_loss
from hemf.tasks import check_task
from hemf.training.distillation import Distillation, Teacher
from hemf.training.network import TrainedNetwork, seed_everything
from hemf.training.validation_metrics import VALIDATION_METRICS
from hemf.weights.load import head_names

Mixer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class ImageClassifier(TrainedNetwork):
    """A timm model that learns to tell the classes apart.

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
        task = check_task(config)
        outputs = task.outputs(len(counts))
        super().__init__(config, outputs, paths)
        self.mixer, self.task = mixer, task
        self.measures = ["train_loss", *(f"val_{name}" for name in task.monitored)]
        self.loss = build_loss(config, counts)
        self.metrics = VALIDATION_METRICS.find(task.name)(outputs)
        self.distillation: Distillation | None = None

    @property
    def teacher(self) -> Teacher | None:
        """What it learns from, beside the images."""
        return None if self.distillation is None else self.distillation.teacher

    def learnt_beside(self) -> list[nn.Parameter]:
        """Return what is learnt to compare the network with its teacher."""
        return [] if self.distillation is None else list(self.distillation.parameters())

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

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.metrics.update(self(batch["image"]), batch["label"])

    def on_validation_epoch_end(self) -> None:
        values = self.metrics.compute()
        self.metrics.reset()
        self.log_dict({f"val_{name}": value for name, value in values.items()})
