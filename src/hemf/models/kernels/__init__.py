"""Attention kernels for CPUs, compiled when hemf is installed, as operators ``torch.ops.hemf.*``.

``lines.h``, ``manhattan.c`` and ``external.c`` are compiled once for each instruction set (``build.py``).
Where there was no compiler, or the processor has neither AVX2 nor AVX-512, ``LIBRARY`` is None and the blocks
use torch's own kernels: the numbers are the same up to rounding, the time is not. ``left_out`` says why.
"""

import ctypes
import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from .build import INSTRUCTION_SETS, LEFT_OUT, library_path

__all__ = [
    "INSTRUCTION_SET",
    "LIBRARY",
    "derive_again",
    "have_kernel",
    "left_out",
    "pointers",
    "run",
    "unwatched",
    "usable",
]


def _load() -> tuple[ctypes.CDLL | None, str | None]:
    """Return the best library that torch would use on this processor, and its instruction set."""
    sets = list(INSTRUCTION_SETS)
    capability = torch.backends.cpu.get_cpu_capability().lower()
    for name in reversed(sets[: sets.index(capability) + 1] if capability in sets else []):
        path = library_path(Path(__file__).parent, name)
        try:
            if path.exists():
                return ctypes.CDLL(str(path)), name
        except OSError as error:
            warnings.warn(
                f"hemf's compiled kernels cannot be loaded, torch's are used: {error}", stacklevel=2
            )
    return None, None


LIBRARY, INSTRUCTION_SET = _load()
operators = torch.library.Library("hemf", "FRAGMENT")


def left_out() -> str | None:
    """Return why there are no kernels for this processor; None where there are some."""
    if LIBRARY is not None:
        return None
    note = Path(__file__).with_name(LEFT_OUT)
    if note.is_file():
        return " ".join(note.read_text(encoding="utf-8").split())
    if torch.backends.cpu.get_cpu_capability().lower() not in INSTRUCTION_SETS:
        return "they are written for AVX2 and AVX-512, which torch does not use here"
    return "they were not compiled from these sources"


@functools.cache
def _say_what_is_missing() -> None:
    """Warn once where a compiler would mend it; a processor cannot be mended."""
    if torch.backends.cpu.get_cpu_capability().lower() in INSTRUCTION_SETS:
        build = Path(__file__).with_name("build.py")
        warnings.warn(
            f"hemf's compiled kernels are left out, so its models are slower on this CPU: {left_out()}; "
            f"with a C compiler at hand, python {build} makes them",
            stacklevel=4,
        )


def usable(x: Tensor, *layers: nn.Module) -> bool:
    """Say whether a kernel can take ``x``: it lies on a CPU and nobody watches what the kernel replaces.

    ``torch.compile`` takes our operators as they are.
    """
    return have_kernel(x) and unwatched(x, *layers)


def have_kernel(x: Tensor) -> bool:
    """Return whether kernels were compiled for this processor, and take numbers of the type of ``x``."""
    if LIBRARY is None and x.device.type == "cpu" and not torch.compiler.is_compiling():
        _say_what_is_missing()
    return LIBRARY is not None and x.dtype in (torch.float32, torch.bfloat16)


def unwatched(x: Tensor, *layers: nn.Module) -> bool:
    """Say whether ``x`` lies on a CPU, and only the caller needs to see the steps from it to the result.

    The layers must be plain ones that nobody has replaced or waits for with a hook. Exporters and function
    transforms want operators that they know, and without images there is nothing to do.
    """
    if x.device.type != "cpu" or torch.jit.is_tracing() or torch.compiler.is_exporting() or x.shape[0] == 0:
        return False
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        return False
    return not _has_any_global_hook() and all(type(m) in PLAIN and not _has_hook(m) for m in layers)


PLAIN = (nn.Linear, nn.Conv2d)


def _has_hook(layer: nn.Module) -> bool:
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return any(hooks)


def run(function: str, *arguments: Any) -> None:
    """Call a function of the library.

    Raises:
        RuntimeError: there was not memory enough.
    """
    if getattr(LIBRARY, function)(*arguments):
        raise RuntimeError("out of memory in an attention kernel: give fewer or smaller images at once")


def pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    """Return where tensors lie; they must outlive the call that is given these."""
    return [ctypes.c_void_p(t.data_ptr()) for t in tensors]


def derive_again(
    written_out: Callable[..., Tensor], inputs: Sequence[Tensor], needed: Sequence[bool], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """Return gradients that have gradients themselves, from the form written out in torch's own operators."""
    # Views, for one input may depend on another: only the paths through the function count here.
    inputs = [t.view_as(t) if here else t for t, here in zip(inputs, needed, strict=True)]
    wanted = [t for t, here in zip(inputs, needed, strict=True) if here]
    found = iter(torch.autograd.grad(written_out(*inputs), wanted, grad, create_graph=True))
    return tuple(next(found) if here else None for here in needed)
