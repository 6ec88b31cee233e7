"""Which models, losses, optimisers and metrics there are, without the seconds that torch and timm take.

Models, losses and optimisers are registered by decorators and calls in source files, so the files are read
for them; what a program has registered itself counts too. ``check_names`` is what ``train`` asks first, so
that a slip of the pen is answered before any image is read.
"""

import difflib
import functools
import re
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from hemf.config import RunConfig
from hemf.errors import HemfError

MONITORED = {"loss": "min", "accuracy": "max", "balanced_accuracy": "max", "f1": "max", "roc_auc": "max"}
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
DEVICE = re.compile(r"(auto|cpu|cuda|mps|xpu|hpu|xla|mtia)(:\d+)?")
DECORATED = r"@{}\b[^\n]*\n(?:@[^\n]*\n)*def (\w+)\("
DEPRECATED = r"^register_model_deprecations\(.*?^\}"


def check_names(config: RunConfig) -> None:
    """Check that what a run asks for by name exists.

    Raises:
        HemfError: there is no such model, loss, optimiser, metric or accelerator.
    """
    check_model(config.model)
    _check("loss", config.loss, loss_names())
    _check("optimizer", config.optimizer.lower(), optimizer_names())
    check_monitor(config.monitor)
    _check("accelerator", config.accelerator, ACCELERATORS)


def check_device(name: str) -> None:
    """Check that a device is called as torch calls it, which says nothing of whether it is there.

    Raises:
        HemfError: it is not.
    """
    if not DEVICE.fullmatch(name):
        raise HemfError(f"no device {name!r} here; give cpu, cuda, cuda:1 ... or auto")


def check_monitor(name: str) -> None:
    """Check that validation measures the metric of that name.

    Raises:
        HemfError: it does not.
    """
    if name not in MONITORED:
        raise HemfError(f"no metric {name!r} to monitor; give one of {', '.join(MONITORED)}")


def check_model(name: str) -> None:
    """Check that a model is hemf's or timm's; names of folders and repositories (``hf-hub:...``) pass.

    Raises:
        HemfError: there is no such model.
    """
    if ":" in name or name.partition(".")[0] in model_names():
        return
    if not (near := difflib.get_close_matches(name, sorted(model_names()), n=3)) or "timm" in sys.modules:
        import timm

        import hemf.models  # noqa: F401  registers the models

        if timm.is_model(name):
            return
    hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
    raise HemfError(f"no model {name!r}; {hint}")


@functools.cache
def model_names() -> frozenset[str]:
    """Names of hemf's and timm's models, timm's former ones among them, without their tags."""
    return hemf_models() | _timm_models()


def hemf_models() -> frozenset[str]:
    """Names of hemf's own models."""
    return _registered("register_model", sorted((Path(__file__).parent / "models").glob("*.py")))


def _timm_models() -> frozenset[str]:
    files = sorted((_folder("timm") / "models").glob("*.py"))
    former = [
        name
        for file in files
        for block in re.findall(DEPRECATED, file.read_text(encoding="utf-8"), re.M | re.S)
        for name in re.findall(r"^\s*['\"](\w+)['\"]\s*:", block, re.M)
    ]
    return _registered("register_model", files) | frozenset(former)


def loss_names() -> frozenset[str]:
    """Names of the registered losses."""
    losses = sys.modules.get("hemf.training.losses")
    if losses is not None:
        return frozenset(losses.LOSSES)
    return _registered("register_loss", [Path(__file__).parent / "training" / "losses.py"])


def optimizer_names() -> frozenset[str]:
    """Names of timm's optimisers."""
    text = (_folder("timm") / "optim" / "_optim_factory.py").read_text(encoding="utf-8")
    return frozenset(re.findall(r"(?:OptimInfo\(\s*(?:name=)?|register_alias\()['\"](\w+)['\"]", text))


def _registered(decorator: str, files: Iterable[Path]) -> frozenset[str]:
    """Functions under a decorator."""
    pattern = re.compile(DECORATED.format(decorator))
    return frozenset(name for file in files for name in pattern.findall(file.read_text(encoding="utf-8")))


def _folder(package: str) -> Path:
    """Where a package lies; it is not imported."""
    return Path(find_spec(package).origin).parent


def _check(kind: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, sorted(names), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"give one of {', '.join(sorted(names))}"
        raise HemfError(f"no {kind} {name!r}; {hint}")
