"""VICReg (Bardes et al. 2022, arXiv:2105.04906): views alike, every direction in use, no two the same."""

from typing import TYPE_CHECKING

from torch import Tensor

from hemf.data.preprocessing import InputSpec
from hemf.pretraining.registry import METHODS, Method, lightly_is_there
from hemf.training.distillation import Teacher

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

WIDTH = 512


@METHODS.register("vicreg")
class VICReg(Method):
    """25 times the squared distance of the views, 25 times the lack of variance, and the covariance."""

    def __init__(self, network: "TimmModel", spec: InputSpec, teacher: Teacher | None) -> None:
        super().__init__(network, spec, teacher)
        lightly_is_there("vicreg")
        from lightly.loss import VICRegLoss
        from lightly.models.modules.heads import VICRegProjectionHead

        self.project = VICRegProjectionHead(self.width, WIDTH, WIDTH)
        self.loss = VICRegLoss()

    def compare(self, *features: Tensor) -> Tensor:
        return self.loss(*map(self.project, features))
