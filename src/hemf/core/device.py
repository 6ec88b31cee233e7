"""Pick the device to compute on: the one that is asked for, or one that is there."""

import torch

from hemf.core.errors import HemfError


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device asked for; for ``auto`` a GPU (CUDA, else Apple's) if there is one, else the CPU.

    Raises:
        HemfError: no such device.
    """
    if device == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return torch.device("cpu") if found is None else found
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise HemfError(f"no device {str(device)!r} here; give cpu, cuda, cuda:1 ... or auto") from error
    return device


def device_type(accelerator: str) -> str:
    """Translate Lightning's accelerator into torch's device type; ``auto`` and ``gpu`` go by the machine."""
    if accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available()):
        return "cuda"
    if accelerator == "auto":
        return "mps" if torch.backends.mps.is_available() else "cpu"
    return accelerator


def check_accelerator(name: str) -> None:
    """Check that an accelerator is there, which torch tells without Lightning.

    Args:
        name: one of Lightning's accelerators.

    Raises:
        HemfError: it is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there["gpu"] = any(there.values())
    if not there.get(name, True):
        raise HemfError(f"torch finds no {name} device here; give --device cpu, or leave the device out")
