"""A network that also says how unlike its training images an image is."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from hemf.familiarity.record import Familiarity, unfamiliarity

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

LEAST = 0.01  # of a standardised value, below which contrast, sharpness or colour is none


class Looked(nn.Module):
    """A network without its last layer, and what its input looks like: B x (D + S) of B x C x H x W.

    Args:
        network: a timm model.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = cast("TimmModel", network)

    def forward_features(self, images: Tensor) -> list[Any]:
        return [self.network.forward_features(images), look_of(images)]

    def forward_head(self, found: list[Any]) -> Tensor:
        features, looks = found
        with torch.autocast(looks.device.type, enabled=False):
            return torch.cat([self.network.forward_head(_exact(features), pre_logits=True).float(), looks], 1)


class Scored(Looked):
    """A network that gives B x (K + 1): in the last column how unlike its training images an image is.

    Args:
        network: a timm model.
        known: its score.
    """

    mean: Tensor
    basis: Tensor
    look_mean: Tensor
    look_scale: Tensor

    def __init__(self, network: nn.Module, known: Familiarity) -> None:
        super().__init__(network)
        self.limit = known.limit
        self.register_buffer("mean", torch.from_numpy(known.mean / np.float32(known.limit)))
        for name in ("basis", "look_mean", "look_scale"):
            self.register_buffer(name, torch.from_numpy(getattr(known, name)))

    def forward_head(self, found: list[Any]) -> Tensor:
        features, looks = found
        with torch.autocast(looks.device.type, enabled=False):
            features = _exact(features)
            seen = self.network.forward_head(features, pre_logits=True).float()
            parts = self.mean, self.basis, self.limit, self.look_mean, self.look_scale
            score = unfamiliarity(seen, looks, *parts)
            return torch.cat([self.network.forward_head(features).float(), score[:, None]], 1)


def look_size(channels: int) -> int:
    """Return how many numbers ``look_of`` gives of images of so many channels."""
    return 4 * channels - 1


def look_of(images: Tensor) -> Tensor:
    """Return what standardised images look like, B x (4C - 1), of B x C x H x W.

    Of each channel its mean and the logarithms of its standard deviation and of the mean difference of
    neighbouring pixels; of each pair of neighbouring channels the logarithm of their mean difference.
    """
    images = images.float()
    mean = images.mean((2, 3))
    spread = ((images - mean[..., None, None]) ** 2).mean((2, 3)) ** 0.5
    across, down = images[..., 1:] - images[..., :-1], images[:, :, 1:] - images[:, :, :-1]
    sharpness = across.abs().mean((2, 3)) + down.abs().mean((2, 3))
    colour = (images[:, 1:] - images[:, :-1]).abs().mean((2, 3))
    return torch.cat([mean, *((one + LEAST).log() for one in (spread, sharpness, colour))], 1)


def _exact(features: Any) -> Any:
    return features.float() if isinstance(features, Tensor) else features
