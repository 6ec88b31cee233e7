"""What HEMF and its relatives have in common as classifiers: four stages and a head."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from timm.layers import LayerNorm2d, NormMlpClassifierHead, trunc_normal_
from torch import Tensor, nn

from .classifier import Classifier


class StagedClassifier(Classifier):
    """A classifier of images (B, in_chans, H, W), H and W divisible by 32, of branches fused stage by stage.

    A network derives from it, sets ``stages`` and ``head`` (``new_head(...)``), calls ``init_weights()`` and
    says in ``stems`` what the first stage is given. From stage to stage passes a tuple of maps; its last
    is the stage's fusion (B, dims[i], H / s, W / s) with s = 4, 8, 16, 32. The last stage's is classified.

    Args:
        in_chans: channels of the image.
        num_classes: number of classes; 0 gives the pooled features.
        dims: channels of the stages.
        drop_rate: dropout before the classifier.
    """

    last_norm = "head.norm"
    if TYPE_CHECKING:  # as in ``Classifier``
        stages: nn.ModuleList

    draws_own_weights = (".fusion.",)
    """Parts of the names of the modules that ``init_weights`` leaves alone."""

    def __init__(self, in_chans: int, num_classes: int, dims: Sequence[int], drop_rate: float = 0.0):
        super().__init__(in_chans, num_classes, drop_rate, dims)

    def new_head(self, global_pool: str) -> NormMlpClassifierHead:
        """Build pooling, LayerNorm, dropout and a Linear layer."""
        return NormMlpClassifierHead(
            self.num_features,
            self.num_classes,
            pool_type=global_pool,
            drop_rate=self.drop_rate,
            norm_layer=LayerNorm2d,
        )

    def init_weights(self) -> None:
        """Draw the weights of the branches and of the head; the fusions have drawn theirs.

        As in the published code of HiFuse, which CAME and HEMF keep: Linear layers truncated normal of std
        0.02, convolutions of std 0.2, both with zero biases.
        """
        for name, module in self.named_modules():
            drawn = any(part in name for part in self.draws_own_weights)
            if drawn or not isinstance(module, nn.Conv2d | nn.Linear):
                continue
            in_branch = isinstance(module, nn.Conv2d) and not name.startswith("head.")
            trunc_normal_(module.weight, std=0.2 if in_branch else 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last stage's fusion (B, dims[-1], H / 32, W / 32).

        Raises:
            ValueError: H or W is not divisible by 32.
        """
        state = self._begin(x)
        for stage in self.stages:
            state = stage(*state)
        return state[-1]

    def stems(self, x: Tensor) -> tuple[Tensor | None, ...]:
        """Return what the first stage is given, the place of the previous fusion (None) last."""
        raise NotImplementedError

    def map_of(self, state: tuple[Tensor | None, ...], norm: bool) -> Tensor:
        """Return the fusion; the last norm works on the pooled vector, so no map has one."""
        fusion = state[-1]
        assert fusion is not None, "each stage ends with one"
        return fusion

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the patterns that sort parameters by depth, for layer-wise rates: stems, then the stages."""
        fine = [
            (r"^stages\.(\d+)\.\w+_downsample", (0,)),
            (r"^stages\.(\d+)\.fusion", (2,)),
            (r"^stages\.(\d+)\.", (1,)),
        ]
        return {"stem": r"^\w+_stem", "blocks": r"^stages\.(\d+)" if coarse else fine}
