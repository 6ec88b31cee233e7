"""Do the maps depend on what the model has learnt? Adebayo et al. 2018, arXiv:1810.03292, section 3."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from timm.models._manipulate import group_with_matcher
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from hemf.core.errors import HemfError
from hemf.explanation.gradcam import Method, layer_heat_maps
from hemf.explanation.measures.deletion_insertion import enlarged
from hemf.models.hub import new_model


def untrained(folder: str | os.PathLike, seed: int) -> nn.Module:
    """Return the architecture of the model in ``folder`` with newly drawn weights.

    Args:
        folder: folder with the model's ``config.json``.
        seed: seed of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return new_model(folder)


def cascade(model: nn.Module, fresh: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the model with more and more untrained weights, from the head to the stem.

    Args:
        model: the trained model, which is left as it is.
        fresh: the same architecture with newly drawn weights.

    Yields:
        The name of the part whose weights have just gone, and the model; it is the same object every time.

    Raises:
        HemfError: the model does not say which of its parts follow each other (timm's ``group_matcher``).
    """
    matcher: Callable[..., dict[str, Any]] | None = getattr(model, "group_matcher", None)
    if matcher is None:
        raise HemfError(f"{type(model).__name__} does not name its parts in order; skip with --perturb 0")
    undone, new = deepcopy(model).eval(), fresh.state_dict()
    parts = group_with_matcher(iter(model.state_dict().items()), matcher(coarse=True))
    for _, names in sorted(parts.items(), reverse=True):
        undone.load_state_dict({name: new[name] for name in names}, strict=False)
        yield part_name(names), undone


def part_name(names: Sequence[str]) -> str:
    """Name a part after its tensors: ``head``, ``stages.3``, ``global_stem, local_stem``."""
    numbered = {match[0] for match in (re.match(r"\w+\.\d+(?=\.)", name) for name in names) if match}
    if len(numbered) == 1 and all(name.startswith(tuple(numbered)) for name in names):
        return numbered.pop()
    return ", ".join(sorted({name.split(".")[0] for name in names}))


def map_similarities(maps: np.ndarray, others: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return how alike two maps of each image are, both interpolated to the image's size.

    Args:
        maps: B x h x w.
        others: B x h x w.
        size: height and width of the images.

    Returns:
        ``spearman``, the rank correlation of the pixels (NaN where a map is constant), and ``ssim``, the
        structural similarity; each B values.
    """
    first, second = enlarged(maps, size), enlarged(others, size)
    left, right = (torch.from_numpy(one)[:, None] for one in (first, second))
    ssim = structural_similarity_index_measure(left, right, data_range=1.0, reduction="none")
    assert isinstance(ssim, Tensor), "only with a full image there are two"
    return {"spearman": rank_correlation(first, second), "ssim": ssim.reshape(-1).double().numpy()}


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each pair of B x H x W maps; NaN where one is constant."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    a, b = (rank - rank.mean(1, keepdims=True) for rank in ranks)
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), scale, out=np.full(len(a), np.nan), where=scale > 0)


def randomised_similarities(
    model: nn.Module,
    fresh: nn.Module,
    images: Tensor,
    targets: Sequence[int],
    layer: str,
    method: Method = "gradcam++",
) -> dict[str, dict[str, np.ndarray]]:
    """Return how alike the maps stay while the weights go, part by part from the head down.

    Args:
        model: the trained model.
        fresh: the same architecture with newly drawn weights.
        images: B x C x H x W.
        targets: the class of each image.
        layer: where the maps are taken.
        method: how.

    Returns:
        By part, in the order in which they go, ``spearman`` and ``ssim`` of B values; at last, under
        ``another image``, those of the trained model's map with its map of the next image: what is alike
        though nothing in the image is. A batch of one has no next image: NaN.
    """
    maps = layer_heat_maps(model, images, targets, [layer], method)[0]
    size = (images.shape[2], images.shape[3])
    found = {
        part: map_similarities(maps, layer_heat_maps(undone, images, targets, [layer], method)[0], size)
        for part, undone in cascade(model, fresh)
    }
    if len(maps) == 1:  # there is no other image
        return found | {"another image": {name: np.full(1, np.nan) for name in ("spearman", "ssim")}}
    return found | {"another image": map_similarities(maps, np.roll(maps, 1, axis=0), size)}
