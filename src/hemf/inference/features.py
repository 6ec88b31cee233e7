"""What a network sees in images before its last layer, and the score that is fitted to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import Tensor, nn

from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet
from hemf.data.image.read import read_image
from hemf.data.preprocessing import InputSpec
from hemf.data.splits import few_of
from hemf.familiarity.fit import FALSE_ALARMS, check_enough, fit_familiarity
from hemf.familiarity.record import Familiarity, Seen
from hemf.inference.scored import Looked, look_size
from hemf.inference.stream import Reader, stream_logits
from hemf.runtime.stream import watched

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

MOST_TRAINING_IMAGES = 2000
"""That a score is fitted to; more change little (benchmarks/results/familiarity-*.json)."""


class Features(nn.Module):
    """A network without its last layer: what that reads, B x D, of images B x C x H x W.

    Args:
        model: a timm model.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = cast("TimmModel", model)

    def forward_features(self, images: Tensor) -> Any:
        return self.model.forward_features(images)

    def forward_head(self, features: Any) -> Tensor:
        return self.model.forward_head(features, pre_logits=True)


def features_of(
    model: nn.Module,
    files: Sequence[Path],
    spec: InputSpec,
    words: str,
    read: Reader = read_image,
    **how: Any,
) -> np.ndarray:
    """Return the features of images, N x D float64; ``how`` are further arguments of ``stream_logits``.

    Raises:
        HemfError: an image cannot be read.
    """
    return _rows(Features(model), files, spec, words, read, how)


def familiarity_of(
    model: nn.Module,
    data: DataSet,
    spec: InputSpec,
    false_alarms: float = FALSE_ALARMS,
    split: str = "val",
    **how: Any,
) -> Familiarity:
    """Fit the out-of-distribution score of a network to its training images, and its limit to others.

    Args:
        model: the network.
        data: its images, with their split.
        spec: its input.
        false_alarms: share of images like those of training that may be taken for others.
        split: which images the limit is found on.
        how: further arguments of ``stream_logits``.

    Raises:
        HemfError: an image cannot be read, there are too few, or the network gives no vector of features.
    """
    training, others = few_of(data.subset("train"), MOST_TRAINING_IMAGES), data.subset(split)
    check_enough(len(training), len(others), false_alarms)
    words = "learning what is familiar"
    seen, other_seen = (
        seen_in(model, [data.path(s) for s in some], spec, words, **how) for some in (training, others)
    )
    groups = {s.group for s in others}
    about = {"data": data.name, "data_hash": data.hash, "split": split}
    about |= {"groups": None if "" in groups else len(groups)}
    return fit_familiarity(seen, other_seen, about, false_alarms)


def seen_in(
    model: nn.Module,
    files: Sequence[Path],
    spec: InputSpec,
    words: str,
    read: Reader = read_image,
    **how: Any,
) -> Seen:
    """Return what a network sees in images, float64; ``how`` are further arguments of ``stream_logits``.

    Raises:
        HemfError: an image cannot be read, or the network gives no vector of features.
    """
    rows, looks = _rows(Looked(model), files, spec, words, read, how), look_size(spec.input_size[0])
    if rows.shape[1:] != (getattr(model, "head_hidden_size", 0) + looks,):
        raise HemfError("the network gives no vector of features, so nothing can be told to be unlike others")
    return Seen(rows[:, :-looks], rows[:, -looks:])


def _rows(
    network: nn.Module, files: Sequence[Path], spec: InputSpec, words: str, read: Reader, how: dict[str, Any]
) -> np.ndarray:
    results = watched(stream_logits(network, files, spec, read=read, **how), len(files), words)
    return np.array([_row(result) for result in results], dtype=np.float64)


def _row(result: tuple[Any, Tensor | None, str | None]) -> np.ndarray:
    _, row, error = result
    if row is None:
        raise HemfError(error or "an image cannot be read")
    return row.numpy()
