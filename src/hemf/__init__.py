"""hemf: medical image classification that can be believed.

The verbs of the command line are functions here, beside what they take and give. Each is imported when it is
first used, so that ``import hemf`` costs nothing.

The models are registered with timm as soon as timm is imported, before hemf or after it.
"""

import importlib
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from wrapt import when_imported

from hemf.core.machine import wait_passively

if TYPE_CHECKING:
    from timm import create_model

    from hemf.commands.calibrate import calibrate
    from hemf.commands.comparing.compare import compare
    from hemf.commands.comparing.power import power
    from hemf.commands.convert import convert_checkpoint
    from hemf.commands.data.audit import audit
    from hemf.commands.evaluate import evaluate
    from hemf.commands.evidence.checklist import checklist
    from hemf.commands.evidence.drift import drift
    from hemf.commands.evidence.ood import ood
    from hemf.commands.evidence.stress import stress
    from hemf.commands.explain import explain
    from hemf.commands.export import export
    from hemf.commands.localise import localise
    from hemf.commands.predict import predict
    from hemf.commands.pretrain import pretrain
    from hemf.commands.train import train
    from hemf.config.pretraining import PretrainConfig
    from hemf.config.run_config import RunConfig
    from hemf.core.errors import HemfError
    from hemf.data.load import load_data
    from hemf.inference.classifier import load
    from hemf.models.convert import convert

wait_passively()

__version__ = version("hemf")

__all__ = [
    "HemfError",
    "PretrainConfig",
    "RunConfig",
    "__version__",
    "audit",
    "calibrate",
    "checklist",
    "compare",
    "convert",
    "convert_checkpoint",
    "create_model",
    "drift",
    "evaluate",
    "explain",
    "export",
    "load",
    "load_data",
    "localise",
    "ood",
    "power",
    "predict",
    "pretrain",
    "stress",
    "train",
]

_WHERE = {
    "HemfError": "hemf.core.errors",
    "PretrainConfig": "hemf.config.pretraining",
    "RunConfig": "hemf.config.run_config",
    "audit": "hemf.commands.data.audit",
    "calibrate": "hemf.commands.calibrate",
    "checklist": "hemf.commands.evidence.checklist",
    "compare": "hemf.commands.comparing.compare",
    "convert": "hemf.models.convert",
    "convert_checkpoint": "hemf.commands.convert",
    "create_model": "timm",
    "drift": "hemf.commands.evidence.drift",
    "evaluate": "hemf.commands.evaluate",
    "explain": "hemf.commands.explain",
    "export": "hemf.commands.export",
    "load": "hemf.inference.classifier",
    "load_data": "hemf.data.load",
    "localise": "hemf.commands.localise",
    "ood": "hemf.commands.evidence.ood",
    "power": "hemf.commands.comparing.power",
    "predict": "hemf.commands.predict",
    "pretrain": "hemf.commands.pretrain",
    "stress": "hemf.commands.evidence.stress",
    "train": "hemf.commands.train",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'hemf' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_WHERE[name]), name)


@when_imported("timm")
def _register_models(_timm: ModuleType) -> None:
    importlib.import_module("hemf.models")


def __dir__() -> list[str]:
    return sorted(__all__)
