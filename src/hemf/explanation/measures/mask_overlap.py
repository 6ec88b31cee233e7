"""Heat maps against lesion masks, over many images."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from hemf.core.errors import HemfError
from hemf.core.text import printable
from hemf.data.preprocessing import InputSpec
from hemf.explanation.gradcam import Method, layer_heat_maps
from hemf.explanation.measures.batches import Batch
from hemf.explanation.measures.masks import read_mask
from hemf.explanation.measures.means import mean_measure
from hemf.explanation.measures.pointing_game import centre_prior, energy_inside, points_inside
from hemf.explanation.placement import place

MEASURES = {"energy": energy_inside, "pointing": points_inside}


def inside_masks(
    model: nn.Module,
    spec: InputSpec,
    found: Iterable[Batch],
    masks: Mapping[str, Path],
    layers: Sequence[str],
    method: Method,
) -> dict[str, Any]:
    """Measure energy inside the mask and pointing game of several layers, of an even map and a centred one.

    Everything is measured on the original image, in the part that the model sees. Images without a mask, or
    with none of it in that part, are counted and left out.

    Args:
        model: the model.
        spec: its input.
        found: the images.
        masks: by name of the image without suffix.
        layers: where the maps are taken.
        method: how.

    Returns:
        ``n``, ``without_mask`` and ``mask_out_of_sight``; ``even`` and ``centre``, each with ``energy`` and
        ``pointing``; and under ``layers``, for each, these two, what they have beyond the centred map
        (``..._beyond_centre``), and ``blank``, the maps without any heat.

    Raises:
        HemfError: no image has a mask, or two images share one.
    """
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    groups: list[str] = []
    owner: dict[Path, str] = {}  # image of each mask
    counts = {"without_mask": 0, "mask_out_of_sight": 0}
    for batch in found:
        maps = layer_heat_maps(model, batch.inputs, batch.targets, layers, method)
        for i, sample in enumerate(batch.samples):
            file, size = masks.get(Path(sample.path).stem), batch.sizes[i]
            if file is None:
                counts["without_mask"] += 1
                continue
            if (other := owner.setdefault(file, sample.path)) != sample.path:
                raise HemfError(
                    f"{printable(other)} and {printable(sample.path)} have one mask, "
                    f"{file.name}; give the images different names"
                )
            even = place(np.ones((1, 1)), spec, size)
            mask = read_mask(file, size) & (even > 0)
            if not mask.any():
                counts["mask_out_of_sight"] += 1
                continue
            groups.append(sample.group)
            heats = {"even": even, "centre": place(centre_prior(*spec.input_size[1:]), spec, size)}
            heats |= {
                name: place(of_layer[i], spec, size) for name, of_layer in zip(layers, maps, strict=True)
            }
            for name, heat in heats.items():
                for measure, function in MEASURES.items():
                    values[name][measure].append(function(heat, mask))
                values[name]["blank"].append(not heat.any())
    if not groups:
        raise HemfError("no image of the split has a mask with a lesion in sight; check --masks")
    return {"n": len(groups)} | counts | _summary(values, groups, layers)


def _summary(
    values: Mapping[str, Mapping[str, list[float]]], groups: Sequence[str], layers: Sequence[str]
) -> dict[str, Any]:
    def means(name: str) -> dict[str, Any]:
        return {measure: mean_measure(values[name][measure], groups) for measure in MEASURES}

    def beyond(name: str) -> dict[str, Any]:
        pairs = ((m, np.subtract(values[name][m], values["centre"][m])) for m in MEASURES)
        return {f"{measure}_beyond_centre": mean_measure(gain, groups) for measure, gain in pairs}

    return {
        "even": means("even"),
        "centre": means("centre"),
        "layers": {
            name: means(name) | beyond(name) | {"blank": int(sum(values[name]["blank"]))} for name in layers
        },
    }
