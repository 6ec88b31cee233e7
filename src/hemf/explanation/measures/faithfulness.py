"""Deletion, insertion and random weights, over many images."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from hemf.explanation.gradcam import Method, layer_heat_maps
from hemf.explanation.measures.batches import Batch
from hemf.explanation.measures.deletion_insertion import BLUR, STEPS, deletion_insertion
from hemf.explanation.measures.means import mean_measure
from hemf.explanation.measures.pointing_game import centre_prior
from hemf.explanation.measures.randomisation import randomised_similarities
from hemf.tasks import MULTICLASS, Task


def faithfulness(
    model: nn.Module,
    fresh: nn.Module,
    found: Iterable[Batch],
    layer: str,
    method: Method,
    rng: np.random.Generator,
    task: Task = MULTICLASS,
) -> dict[str, Any]:
    """Measure whether the class goes and comes with the hot pixels, and the maps with the weights.

    The random order is that of random maps of the layer's own resolution: single random pixels would destroy
    every texture and so make any map of patches look bad at deletion.

    Args:
        model: the trained model.
        fresh: the same architecture with newly drawn weights.
        found: the images.
        layer: where the maps are taken.
        method: how.
        rng: random numbers for random orders.
        task: what the model is asked about an image.

    Returns:
        ``n``, ``steps``, ``blur``; ``deletion`` and ``insertion``, each with the areas of the ``model``, the
        ``centre`` and a ``random`` order, and what the model's has beyond these two; and ``random_weights``,
        a list with each part, ``spearman`` and ``ssim``, in the order in which the parts lose their weights.
    """
    areas: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    alike: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    groups: list[str] = []
    for batch in found:
        groups += [sample.group for sample in batch.samples]
        maps = layer_heat_maps(model, batch.inputs, batch.targets, [layer], method)[0]
        for image, target, heat in zip(batch.inputs, batch.targets, maps, strict=True):
            centre = centre_prior(*image.shape[1:])
            orders = {"model": heat, "centre": centre, "random": rng.random(heat.shape)}
            for curve, by_order in deletion_insertion(model, image, target, orders, rng, task).items():
                for name, area in by_order.items():
                    areas[curve][name].append(area)
        similarities = randomised_similarities(model, fresh, batch.inputs, batch.targets, layer, method)
        for part, measures in similarities.items():
            for measure, values in measures.items():
                alike[part][measure] += values.tolist()
    return {
        "n": len(groups),
        "steps": STEPS,
        "blur": BLUR,
        **{curve: _areas(by_order, groups) for curve, by_order in areas.items()},
        "random_weights": [
            {"part": part} | {name: mean_measure(values, groups) for name, values in measures.items()}
            for part, measures in alike.items()
        ],
    }


def _areas(by_order: dict[str, list[float]], groups: Sequence[str]) -> dict[str, Any]:
    found = {name: mean_measure(values, groups) for name, values in by_order.items()}
    for other in ("centre", "random"):
        gain = np.subtract(by_order["model"], by_order[other])
        found[f"model_beyond_{other}"] = mean_measure(gain, groups)
    return found
