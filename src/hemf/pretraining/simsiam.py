"""SimSiam (Chen and He 2021, arXiv:2011.10566): one view predicts the other, which is held fixed."""

from typing import TYPE_CHECKING

from torch import Tensor

from hemf.data.preprocessing import InputSpec
from hemf.pretraining.registry import METHODS, Method, lightly_is_there
from hemf.training.distillation import Teacher

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

WIDTH, NARROW = 512, 128


@METHODS.register("simsiam")
class SimSiam(Method):
    """The mean of -cos(h(z1), z2) and -cos(h(z2), z1) of z = g(f(x)), without gradient through the second."""

    def __init__(self, network: "TimmModel", spec: InputSpec, teacher: Teacher | None) -> None:
        super().__init__(network, spec, teacher)
        lightly_is_there("simsiam")
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead

        self.project = SimSiamProjectionHead(self.width, WIDTH, WIDTH)
        self.predict = SimSiamPredictionHead(WIDTH, NARROW, WIDTH)
        self.distance = NegativeCosineSimilarity()

    def compare(self, *features: Tensor) -> Tensor:
        first, second = map(self.project, features)
        there = self.distance(self.predict(first), second.detach())
        back = self.distance(self.predict(second), first.detach())
        return (there + back) / 2
