"""Heat maps of where in an image a model finds its evidence.

``heat_maps`` and ``stage_heat_maps`` are Grad-CAM++ for any model; ``place`` and ``overlay`` lay a map on its
image. Each is imported when it is first used.
"""

import importlib
from typing import Any

_WHERE = {
    "heat_maps": "hemf.explain.gradcam",
    "stage_heat_maps": "hemf.explain.gradcam",
    "default_layer": "hemf.explain.layers",
    "stage_layers": "hemf.explain.layers",
    "place": "hemf.explain.placement",
    "overlay": "hemf.explain.drawing",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'hemf.explain' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
