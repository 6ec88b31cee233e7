"""A network in pretraining: its method's loss, and after every epoch what its features have become."""

import torch
from rich.console import Console
from torch import Tensor, nn

import hemf.pretraining  # noqa: F401  registers the methods
from hemf.config.pretraining import PretrainConfig
from hemf.data.preprocessing import InputSpec
from hemf.pretraining.batches import ViewedImages
from hemf.pretraining.health import (
    accuracies,
    effective_rank,
    is_collapsed,
    neighbours_votes,
    similarities,
    spread,
)
from hemf.pretraining.registry import METHODS
from hemf.training.distillation import Teacher
from hemf.training.network import TrainedNetwork, seed_everything

MEASURES = ("train_loss", "feature_rank", "feature_spread", "knn_accuracy", "knn_balanced_accuracy")


class Pretraining(TrainedNetwork):
    """A timm model that learns from images without labels.

    Args:
        config: the run's options.
        paths: the training images' paths, to name those of a bad batch.
        teacher: a stronger network, where the method learns from one.

    Raises:
        HemfError: as for ``TrainedNetwork``; there is no such method, or it does not go with the teacher.
    """

    measures = MEASURES

    def __init__(self, config: PretrainConfig, paths: list[str], teacher: Teacher | None = None) -> None:
        super().__init__(config, 0, paths)
        seed_everything(config.seed)
        self.method = METHODS.find(config.method)(self.model, InputSpec.from_config(config), teacher)
        self._taught_by = (teacher,)  # in a tuple, so that it is no part of the state
        self._features: list[Tensor] = []
        self.collapsed = False
        self.model.train()

    @property
    def teacher(self) -> Teacher | None:
        """What it learns from, beside the images."""
        return self._taught_by[0]

    def forward(self, images: Tensor) -> Tensor:
        """Compute pooled features B x D of images B x C x H x W."""
        return self.model(images).float()

    def loss_of(self, images: Tensor, target: Tensor) -> Tensor:
        """Compute what the method lessens, of images (views * B) x C x H x W."""
        return self.method(self.model, images)

    def learnt_beside(self) -> list[nn.Parameter]:
        """Return what the method learns along."""
        return [weight for weight in self.method.parameters() if weight.requires_grad]

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        self.method.after_step(self.model)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._features.append(self(batch["image"]))

    def on_validation_epoch_end(self) -> None:
        features = torch.cat(self._features).cpu()
        self._features.clear()
        images: ViewedImages = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]  # set by ``fit``
        values = measured(features, images)
        self.log_dict(values)
        collapsed = is_collapsed(values["feature_rank"], values["feature_spread"])
        if collapsed and not self.collapsed:
            Console(markup=False, highlight=False, soft_wrap=True).print(
                f"warning: the features have collapsed (effective rank {values['feature_rank']:.2f}, spread "
                f"{values['feature_spread']:.4f}): the network says nearly the same of every image; try "
                "a lower --lr, a larger --batch-size or another --method",
                style="bold red",
            )
        self.collapsed = collapsed


def measured(features: Tensor, images: ViewedImages) -> dict[str, float]:
    """Return rank and spread of the watched training images' features, and how well neighbours tell classes.

    The validation images are the queries and the training images vote, but never those of the same patient or
    lesion.

    Args:
        features: N x D, of ``images.watched``.
        images: the run's.
    """
    bank, queries = features[: images.bank], features[images.bank :]
    found = {"feature_rank": effective_rank(bank), "feature_spread": spread(bank)}
    if not len(queries):
        return found
    classes = images.data.classes
    labels = torch.tensor([classes.index(s.label) for s in images.watched])
    groups = [s.group for s in images.watched]
    cosines = similarities(queries, bank, groups[images.bank :], groups[: images.bank])
    voters, asked = labels[: images.bank], labels[images.bank :]
    votes = neighbours_votes(cosines, voters, len(classes))
    accuracy, balanced = accuracies(votes, asked, voters.bincount(minlength=len(classes)))
    return found | {"knn_accuracy": accuracy, "knn_balanced_accuracy": balanced}
