"""How much of a heat map lies on the lesion."""

import numpy as np


def energy_inside(heat: np.ndarray, mask: np.ndarray) -> float:
    """Return share of the heat that lies inside the mask (Wang et al. 2020, the energy-based pointing game).

    A map without heat points nowhere: its share is 0.

    Args:
        heat: height x width, nowhere negative.
        mask: height x width bool.
    """
    total = heat.sum(dtype=np.float64)
    return float(heat[mask].sum(dtype=np.float64) / total) if total > 0 else 0.0


def points_inside(heat: np.ndarray, mask: np.ndarray) -> float:
    """Say as 1 or 0 whether the hottest pixel lies inside the mask (Zhang et al. 2018, the pointing game).

    There is no tolerance around the mask: the 15 pixels usual on photographs of 500 pixels would forgive
    misses by the width of a lesion. Of several hottest pixels it is the share inside, what drawing one of
    them gives on average. A map without heat points nowhere: 0.

    Args:
        heat: height x width, nowhere negative.
        mask: height x width bool.
    """
    most = heat.max()
    return float(mask[heat == most].mean()) if most > 0 else 0.0


def centre_prior(height: int, width: int) -> np.ndarray:
    """Return the map of a model that has learnt only that lesions are photographed in the middle.

    A Gaussian around the centre with a quarter of each side as standard deviation.

    Returns:
        height x width float32, at most 1.
    """
    down, across = (
        np.exp(-0.5 * ((np.arange(side) + 0.5 - side / 2) / (side / 4)) ** 2) for side in (height, width)
    )
    return (down[:, None] * across).astype(np.float32)
