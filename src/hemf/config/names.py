"""Which models, losses and optimisers there are, without the seconds that torch and timm take.

Models, losses and optimisers are registered by decorators and calls in source files, so the files are read
for them; what a program has registered itself counts too. ``train`` calls ``check_names`` first, so
that a misspelled name is reported before any image is read.
"""

import functools
import re
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.registry import load_plugins, suggestion

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
DEVICE = re.compile(r"(auto|cpu|cuda|mps|xpu|hpu|xla|mtia)(:\d+)?")
WEIGHTS = re.compile(r'^WEIGHTS\.register\("(\w+)"\)', re.M)
METHOD = re.compile(r'^@METHODS\.register\("(\w+)"\)', re.M)
LOSS = re.compile(r'^@LOSSES\.register\("(\w+)"\)', re.M)
DECORATED = r"@{}\b[^\n]*\n(?:@[^\n]*\n)*def (\w+)\("
DEPRECATED = r"^register_model_deprecations\(.*?^\}"


def check_names(config: RunConfig) -> None:
    """Check that what a run asks for by name exists.

    Raises:
        HemfError: there is no such model, loss, optimiser or accelerator.
    """
    check_model(config.model)
    if config.loss not in loss_names():
        load_plugins()
    _check("loss", config.loss, loss_names())
    _check("optimizer", config.optimizer.lower(), optimizer_names())
    _check("accelerator", config.accelerator, ACCELERATORS)


def check_device(name: str) -> None:
    """Check that a device is called as torch calls it, which says nothing of whether it is there.

    Raises:
        HemfError: it is not.
    """
    if not DEVICE.fullmatch(name):
        raise HemfError(f"no device {name!r} here; give cpu, cuda, cuda:1 ... or auto")


def check_model(name: str) -> None:
    """Check that a model is hemf's or timm's; names of folders and repositories (``hf-hub:...``) pass.

    Raises:
        HemfError: there is no such model.
    """
    if ":" in name or name.partition(".")[0] in model_names():
        return
    load_plugins()
    if "timm" in sys.modules and sys.modules["timm"].is_model(name):  # what a program or a plugin registered
        return
    raise HemfError(f"no model {name!r}; {suggestion(name, model_names(), 'see timm.list_models()')}")


@functools.cache
def model_names() -> frozenset[str]:
    """Return the names of hemf's and timm's models, with timm's former names, without tags."""
    return hemf_models() | _timm_models()


def hemf_models() -> frozenset[str]:
    """Return the names of hemf's own models."""
    return _registered("register_model", sorted((Path(__file__).parents[1] / "models").glob("*.py")))


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
    """Return the names of the registered losses."""
    if (losses := sys.modules.get("hemf.losses")) is not None:
        return frozenset(losses.LOSSES)
    files = (Path(__file__).parents[1] / "losses").glob("*.py")
    return frozenset(name for file in files for name in LOSS.findall(file.read_text(encoding="utf-8")))


def method_names() -> frozenset[str]:
    """Return the names of the registered methods of pretraining."""
    if (pretraining := sys.modules.get("hemf.pretraining")) is not None:
        return frozenset(pretraining.METHODS)
    files = (Path(__file__).parents[1] / "pretraining").glob("*.py")
    return frozenset(name for file in files for name in METHOD.findall(file.read_text(encoding="utf-8")))


def check_method(name: str) -> None:
    """Check that there is a method of pretraining of that name.

    Raises:
        HemfError: there is none.
    """
    if name not in method_names():
        load_plugins()
    _check("method", name, method_names())


@functools.cache
def weight_names() -> frozenset[str]:
    """Return the names of hemf's own sources of weights, which an installed package brings."""
    files = (Path(__file__).parents[1] / "weights").glob("*.py")
    return frozenset(name for file in files for name in WEIGHTS.findall(file.read_text(encoding="utf-8")))


def optimizer_names() -> frozenset[str]:
    """Return the names of timm's optimisers."""
    text = (_folder("timm") / "optim" / "_optim_factory.py").read_text(encoding="utf-8")
    return frozenset(re.findall(r"(?:OptimInfo\(\s*(?:name=)?|register_alias\()['\"](\w+)['\"]", text))


def _registered(decorator: str, files: Iterable[Path]) -> frozenset[str]:
    """Find functions under a decorator."""
    pattern = re.compile(DECORATED.format(decorator))
    return frozenset(name for file in files for name in pattern.findall(file.read_text(encoding="utf-8")))


def _folder(package: str) -> Path:
    """Find a package's folder without importing it."""
    spec = find_spec(package)
    assert spec is not None, f"{package} is a part of hemf, or installed with it"
    assert spec.origin is not None, f"{package} is no namespace"
    return Path(spec.origin).parent


def _check(kind: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise HemfError(f"no {kind} {name!r}; {suggestion(name, names)}")
