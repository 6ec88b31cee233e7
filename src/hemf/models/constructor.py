"""Networks made from what a file says: the arguments of the network alone, counted before it is built.

timm's ``create_model`` takes arguments that fetch, read and write files beside those of the network. A
stranger's may only be of the second kind: a name is allowed where the network's own constructor has it. How
large the network is shows on torch's meta device, which takes no memory, before it is built.
"""

import inspect
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import timm
import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

LOADING = frozenset(
    [
        "model_name",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_strict",
        "pretrained_filter_fn",
        "checkpoint_path",
        "cache_dir",
        "scriptable",
        "exportable",
        "no_jit",
        "features_only",
        "pruned",
        "out_indices",
        "feature_cfg",
        "kwargs_filter",
        "device",
        "dtype",
    ]
)
"""Arguments of timm that say how a network is made or where its weights come from, not what it is."""

LARGEST = 65_536
LARGEST_IMAGE = 4_096
LONGEST = 256
FREE = 1 << 26
"""Elements of tensors that a network may make and drop on the way, beyond four times what it keeps."""
FILLS = frozenset(
    ["normal_", "uniform_", "trunc_normal_", "erfinv_", "fill_", "zero_", "mul_", "add_", "clamp_", "copy_"]
)

Shapes = dict[str, tuple[int, ...]]


class TooLargeError(ValueError):
    """A network has more tensors, or more numbers in them, than it may have."""


def network_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that say what a network is, without those that say where its weights come from."""
    return {name: value for name, value in arguments.items() if name not in LOADING}


def check_arguments(architecture: str, arguments: Any) -> None:
    """Check that arguments from a file are a network's own, and of plain and moderate values.

    Args:
        architecture: a registered name.
        arguments: by name.

    Raises:
        ValueError: there is no such network, an argument is none of its own, or a value is too large.
    """
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise ValueError(f"unknown architecture, {str(architecture)[:100]}: update hemf and timm")
    if not isinstance(arguments, Mapping):
        raise ValueError(
            f"the arguments of {architecture} are {_short(arguments)}; they must be names and values"
        )
    if not arguments:
        return
    known = _constructor(architecture)
    for name, value in arguments.items():
        if name not in known or name in LOADING or name == "num_classes":
            raise ValueError(f"{_short(name)} is no argument of the network {architecture}: remove it")
        try:
            _check_value(value, LARGEST_IMAGE if name == "img_size" else LARGEST)
        except ValueError as error:
            raise ValueError(f"{name} of {architecture} is {_short(value)}: {error}") from None


def shapes_of(architecture: str, arguments: Mapping[str, Any], tensors: int, elements: int) -> Shapes:
    """Return names and shapes of a network's tensors, worked out without memory for them.

    Args:
        architecture: a registered name.
        arguments: arguments of the network, ``num_classes`` among them.
        tensors: how many it may have.
        elements: how many numbers they may hold in all.

    Raises:
        TooLargeError: it has more than that.
        ValueError: it cannot be built so.
    """
    try:
        with _counted(4 * tensors + 512, 4 * elements + FREE), torch.device("meta"), _Unfilled():
            network = timm.create_model(architecture, **arguments)
    except TooLargeError as error:
        raise TooLargeError(f"{architecture} is too large: {error}") from None
    except Exception as error:  # whatever odd values make of a constructor
        raise ValueError(f"{architecture} cannot be built so: {_short(error)}") from error
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _constructor(architecture: str) -> set[str]:
    """Return the names of the arguments of the network's constructor."""
    with torch.device("meta"), _Unfilled():
        kind = type(timm.create_model(architecture))
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    lists = (inspect.signature(one.__init__).parameters.values() for one in kind.__mro__ if one is not object)
    return {one.name for parameters in lists for one in parameters if one.kind in named} - {"self"}


def _check_value(value: Any, largest: int, depth: int = 0) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > largest:
            raise ValueError(f"numbers go up to {largest}")
    elif isinstance(value, str):
        if not re.fullmatch(r"[\w.+-]{0,64}", value):
            raise ValueError("words are of letters, digits and '_', '.', '+', '-'")
    elif isinstance(value, list | tuple | Mapping):
        if len(value) > LONGEST or depth > 3:
            raise ValueError(f"lists hold up to {LONGEST} values, up to four deep")
        for one in [*value, *value.values()] if isinstance(value, Mapping) else value:
            _check_value(one, largest, depth + 1)
    else:
        raise ValueError("give numbers, words, lists of them, true, false or null")


class _Unfilled(TorchFunctionMode):
    """Leaves out the filling of tensors with first values, which on the meta device have none."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if getattr(function, "__name__", "") in FILLS:
            return args[0] if args else (kwargs or {}).get("tensor")
        return function(*args, **(kwargs or {}))


@contextmanager
def _counted(tensors: int, elements: int) -> Iterator[None]:
    """Stop a network from being built as soon as it has registered more than this."""
    left = {"tensors": tensors, "elements": elements, "modules": 64 * tensors}

    def take(what: str, number: int) -> None:
        left[what] -= number
        if left[what] < 0:
            raise TooLargeError(f"it has more {what} than it may have")

    def tensor(_: nn.Module, __: str, value: torch.Tensor | None) -> None:
        take("tensors", 1)
        take("elements", 0 if value is None else value.numel())

    def part(_: nn.Module, __: str, ___: nn.Module | None) -> None:
        take("modules", 1)

    handles = (
        hooks.register_module_parameter_registration_hook(tensor),
        hooks.register_module_buffer_registration_hook(tensor),
        hooks.register_module_module_registration_hook(part),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    text = " ".join(text.split()) or type(value).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
