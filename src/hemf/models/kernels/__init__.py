"""Attention kernels for CPUs, compiled when hemf is installed, as operators ``torch.ops.hemf.*``.

``lines.h``, ``manhattan.c`` and ``external.c`` are compiled once for each instruction set (``build.py``).
Where there was no compiler, or the processor has neither AVX2 nor AVX-512, ``LIBRARY`` is None and the blocks
use torch's own kernels: the numbers are the same up to rounding, the time is not.
"""

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .build import INSTRUCTION_SETS, library_path

__all__ = ["LIBRARY", "derive_again", "instruction_set", "ordinary", "pointers", "run", "usable"]


def _load() -> ctypes.CDLL | None:
    capability = torch.backends.cpu.get_cpu_capability().lower()
    path = library_path(Path(__file__).parent, capability)
    if capability not in INSTRUCTION_SETS or not path.exists():
        return None
    return ctypes.CDLL(str(path))


LIBRARY = _load()
operators = torch.library.Library("hemf", "FRAGMENT")


def instruction_set() -> str | None:
    """What the kernels in use are compiled for, "avx2" or "avx512"; None where torch's own are used."""
    return None if LIBRARY is None else torch.backends.cpu.get_cpu_capability().lower()


def usable(x: Tensor, *layers: nn.Module) -> bool:
    """Whether a kernel should stand for what torch's own do with ``x`` and the weights of ``layers``.

    It should on a CPU, in float32 or bfloat16, where nothing is out of the ``ordinary``; ``torch.compile``
    takes our operators as they are.
    """
    return LIBRARY is not None and x.dtype in (torch.float32, torch.bfloat16) and ordinary(x, *layers)


def ordinary(x: Tensor, *layers: nn.Module) -> bool:
    """Whether ``x`` lies on a CPU, and nobody but the caller needs to see the steps from it to the result.

    The layers must be plain ones that nobody has replaced or waits for with a hook. Exporters and function
    transforms want operators that they know, and without images there is nothing to do.
    """
    if x.device.type != "cpu" or not len(x) or torch.jit.is_tracing() or torch.compiler.is_exporting():
        return False
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        return False
    plain = (nn.Linear, nn.Conv2d)
    return all(type(m) in plain and not (m._forward_hooks or m._forward_pre_hooks) for m in layers)


def run(function: str, *arguments: ctypes.Structure | ctypes.c_void_p) -> None:
    """Call a function of the library.

    Raises:
        RuntimeError: there was not memory enough.
    """
    if getattr(LIBRARY, function)(*arguments):
        raise RuntimeError("out of memory in an attention kernel: give fewer or smaller images at once")


def pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    """Where tensors lie; they must outlive the call that is given these."""
    return [ctypes.c_void_p(t.data_ptr()) for t in tensors]


def derive_again(
    written_out: Callable[..., Tensor], inputs: Sequence[Tensor], needed: Sequence[bool], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients that have gradients themselves, from the form written out in torch's own operators."""
    wanted = [t for t, here in zip(inputs, needed, strict=True) if here]
    found = iter(torch.autograd.grad(written_out(*inputs), wanted, grad, create_graph=True))
    return tuple(next(found) if here else None for here in needed)
