"""hemf: medical image classification that can be believed.

The verbs of the command line are functions here: ``train``, ``calibrate``, ``evaluate``, ``compare``,
``predict``, ``explain_images``, ``localise``, ``load``, ``convert``; ``hemf.explain`` is the package of heat
maps. Each is imported when it is first used, so that ``import hemf`` costs nothing.
"""

import importlib
from importlib.metadata import version
from typing import Any

from hemf.machine import wait_passively

wait_passively()

__version__ = version("hemf")

_WHERE = {
    "train": "hemf.training.run",
    "evaluate": "hemf.evaluation.evaluate",
    "compare": "hemf.evaluation.compare",
    "calibrate": "hemf.evaluation.calibrate",
    "load": "hemf.deploy.classifier",
    "predict": "hemf.deploy.predict",
    "explain_images": "hemf.deploy.explain",
    "localise": "hemf.explain.localise",
    "create_model": "timm",
    "convert": "hemf.models.convert",
    "convert_checkpoint": "hemf.deploy.convert",
    "load_data": "hemf.data.manifest",
    "audit": "hemf.data.audit.audit",
    "HemfError": "hemf.errors",
    "RunConfig": "hemf.config",
}

__all__ = [*_WHERE, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "explain":
        return importlib.import_module("hemf.explain")
    if name not in _WHERE:
        raise AttributeError(f"module 'hemf' has no attribute {name!r}; it has {', '.join(__all__)}")
    if name == "create_model":
        importlib.import_module("hemf.models")  # registers the models with timm
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
