"""What all our networks have in common as classifiers: timm's interface, to parts that follow each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import trunc_normal_
from timm.models import build_model_with_cfg
from timm.models._features import feature_take_indices
from torch import Tensor, fx, nn

if TYPE_CHECKING:
    from timm.layers import ClassifierHead, NormMlpClassifierHead

__all__ = ["Classifier", "configuration", "init_linear"]


class Classifier(nn.Module):
    """A classifier of images (B, in_chans, H, W) by parts, each of which goes on from where the last ended.

    A network derives from it, sets the parts (under the name that ``chain`` says) and ``head``, and says in
    ``stems`` what the first part is given, in ``step`` how a part is run, and in ``map_of`` where its map is.
    ``forward_features`` is the same from first to last, written out for TorchScript, which has no ``getattr``
    and wants to know every type.

    Args:
        in_chans: channels of the image.
        num_classes: number of classes; 0 gives the pooled features.
        drop_rate: dropout before the classifier.
        dims: channels of the maps that ``forward_intermediates`` gives.
        reductions: how many times smaller than the image each of them is; None: 4, 8, 16, and so on.
        ends: the parts that give them, the last part last; None: the first, the second, and so on.
        beside: features that the head reads beside the last map's.
    """

    chain = "stages"
    """Name of the parts."""
    last_norm = "norm"
    """Name of what normalises the last part's map or, in the head, its pooled vector."""
    multiple_of = 32
    """What an image's height and width must be divisible by."""
    usual_maps = (0, 1, 2, 3)
    """The maps that ``features_only`` gives unless told otherwise."""
    __constants__ = ("architecture", "multiple_of")

    if TYPE_CHECKING:  # TorchScript, which reads a class's annotations, knows no classes of layers
        head: ClassifierHead | NormMlpClassifierHead

    def __init__(
        self,
        in_chans: int,
        num_classes: int,
        drop_rate: float,
        dims: Sequence[int],
        reductions: Sequence[int] | None = None,
        ends: Sequence[int] | None = None,
        beside: int = 0,
    ):
        super().__init__()
        self.architecture = type(self).__name__
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = dims[-1] + beside
        self.beside = beside
        self.drop_rate = drop_rate
        self.ends = list(range(len(dims)) if ends is None else ends)
        reductions = [4 * 2**i for i in range(len(dims))] if reductions is None else reductions
        self.feature_info = [
            {"num_chs": dim, "reduction": reduction, "module": f"{self.chain}.{end}"}
            for dim, reduction, end in zip(dims, reductions, self.ends, strict=True)
        ]

    @classmethod
    def build(cls, variant: str, pretrained: bool, **kwargs: Any) -> Self:
        """Build a registered variant as timm does, or with ``features_only`` what gives its maps.

        Raises:
            ValueError: another ``output_stride`` is asked for, or whatever the network refuses.
        """
        if "output_stride" in kwargs:
            raise ValueError(
                f"{variant} has no output_stride, for its strides are fixed: choose a decoder that takes "
                f"them as they are, such as Unet or FPN"
            )
        feature_cfg = {"out_indices": cls.usual_maps, "feature_cls": "getter"}
        return build_model_with_cfg(cls, variant, pretrained, feature_cfg=feature_cfg, **kwargs)

    def stems(self, x: Tensor) -> Any:
        """Return what the first part is given, from images that lie channels-last."""
        raise NotImplementedError

    def step(self, part: nn.Module, state: Any) -> Any:
        """Return what the next part is given, or the head, from what this one is given."""
        return part(*state)

    def map_of(self, state: Any, norm: bool) -> Tensor:
        """Take the map (B, C, H / s, W / s) from what a part gave, under the last norm if asked to."""
        raise NotImplementedError

    def features_of(self, state: Any, norm: bool) -> Any:
        """Take what the head needs from what a part gave; only what the last one gave fits the last norm."""
        return self.map_of(state, norm)

    def no_weight_decay(self) -> set[str]:
        """No parameter asks to be spared beyond what every recipe spares: biases and vectors."""
        return set()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass to save memory, but nothing with batch statistics."""
        for module in self.modules():
            if hasattr(module, "grad_checkpointing"):
                module.grad_checkpointing = enable  # pyright: ignore[reportArgumentType]  # torch: tensors only

    def get_classifier(self) -> nn.Module | tuple[nn.Module, nn.Module]:
        """Return the last linear layer; of Conformer, which has two heads, both."""
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Give the head a new classifier for ``num_classes`` (0: none) and, if named, another pooling."""
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)
        self.head.apply(init_linear)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Any, list[Tensor]]:
        """Return the parts' maps (B, C_i, H / s_i, W / s_i), described by ``feature_info``.

        Args:
            x: images (B, in_chans, H, W).
            indices: the last n maps if a number, all if None, else these.
            norm: apply the last norm to the last part's map, where it is a norm of maps.
            stop_early: run no part beyond the last one wanted.
            output_fmt: "NCHW", the only one there is.
            intermediates_only: leave out the final features; this too stops early.

        Returns:
            The maps, or the final features (as ``forward_features``) and the maps.

        Raises:
            ValueError: another ``output_fmt``, or a size that ``forward_features`` refuses.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"{type(self).__name__}'s maps come as NCHW only, not {output_fmt}")
        taken = indices if indices is None or isinstance(indices, int) else list(indices)
        wanted, last = feature_take_indices(len(self.ends), taken)
        wanted = {self.ends[index] for index in wanted}
        parts = getattr(self, self.chain)
        count = self.ends[last] + 1 if stop_early or intermediates_only else len(parts)
        intermediates = []
        state = self._begin(x)
        for index, part in enumerate(parts[:count]):
            state = self.step(part, state)
            if index in wanted:
                intermediates.append(self.map_of(state, norm and index == len(parts) - 1))
        if intermediates_only:
            return intermediates
        return self.features_of(state, norm=count == len(parts)), intermediates

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove what the maps ``indices`` do not need; return their absolute indices."""
        taken = indices if isinstance(indices, int) else list(indices)
        wanted, last = feature_take_indices(len(self.ends), taken)
        shorter = last < len(self.ends) - 1
        self.ends = self.ends[: last + 1]
        setattr(self, self.chain, getattr(self, self.chain)[: self.ends[-1] + 1])
        if prune_norm or shorter:
            self.set_submodule(self.last_norm, nn.Identity())
        if prune_head or shorter:
            self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"] + self.beside
            self.reset_classifier(0, "")
        return wanted

    def forward_features(self, x: Tensor) -> Any:
        """Return the last part's map (B, C, H / s, W / s), after the last norm if that is one of maps.

        Raises:
            ValueError: a size that the network cannot take.
        """
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify what ``forward_features`` gave; ``pre_logits`` stops before the classifier."""
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def _begin(self, x: Tensor):  # TorchScript infers what it returns, for each network another type
        x = _of_fitting_size(x, self.multiple_of, self.architecture)
        return self.stems(x.contiguous(memory_format=torch.channels_last))


@fx.wrap  # symbolic tracing knows no sizes, so it takes the check as one step
def _of_fitting_size(x: Tensor, step: int, network: str) -> Tensor:
    height, width = x.shape[-2:]
    if height % step or width % step:
        raise ValueError(
            f"{network} needs a height and width divisible by {step}, got {height} x {width}: "
            f"resize or pad the images, for instance to {_nearest(height, step)} x {_nearest(width, step)}"
        )
    return x


def _nearest(side: int, step: int) -> int:
    return max(step, step * int(round(side / step)))  # noqa: RUF046  TorchScript rounds to floats


def init_linear(module: nn.Module) -> None:
    """Draw a Linear layer's weights truncated normal of std 0.02, its biases zero; leave others alone."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def configuration(**own: Any) -> dict[str, Any]:
    """Make timm's configuration of a network that takes images as most of ours do, but for its ``own``."""
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "classifier": "head.fc",
        **own,
    }
