"""Pick the number format that the hardware is fast at."""

from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from hemf.core.errors import HemfError

Precision = Literal["fp32", "bf16", "fp16"]
PrecisionOption = Literal["auto", "fp32", "bf16", "fp16"]
LIGHTNING: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
CPU_BF16 = ("amx_bf16", "avx512_bf16")

if TYPE_CHECKING:

    class TimmModel(nn.Module):
        """What timm's classifiers, ours among them, have beside ``nn.Module``; timm has no such type."""

        num_classes: int
        head_hidden_size: int
        pretrained_cfg: dict[str, Any]

        def forward_features(self, x: Tensor) -> Any: ...
        def forward_head(self, x: Any, pre_logits: bool = False) -> Tensor: ...
        def get_classifier(self) -> nn.Module | tuple[nn.Module, ...]: ...
        def group_matcher(self, coarse: bool = False) -> dict[str, Any]: ...


def pick_precision(accelerator: str) -> Precision:
    """Pick the format for ``precision: auto``.

    bf16 on CPUs with AMX or AVX512-bf16 and on GPUs of compute capability 8 and above, fp16 on GPUs of
    capability 7, else fp32.

    Args:
        accelerator: ``cpu``, ``cuda`` (or ``gpu``), or another of Lightning's names.
    """
    if accelerator == "cpu":
        return "bf16" if cpu_flags().intersection(CPU_BF16) else "fp32"
    if accelerator in ("cuda", "gpu") and torch.cuda.is_available():
        capability = min(torch.cuda.get_device_capability(i)[0] for i in range(torch.cuda.device_count()))
        return "bf16" if capability >= 8 else "fp16" if capability == 7 else "fp32"
    return "fp32"


def cpu_flags() -> set[str]:
    """Return which of ``amx_bf16`` and ``avx512_bf16`` the processor has; empty if that is unknown."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch >= 2.11
    flags = {name for name in CPU_BF16 if capabilities.get(name)}
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:  # not Linux
        line = ""
    return flags | set(line.split()).intersection(CPU_BF16)


def resolve_precision(asked: PrecisionOption, accelerator: str) -> Precision:
    """Return the format a run uses: what was asked for, or for ``auto`` what the hardware is fast at.

    Raises:
        HemfError: fp16 was asked for on a CPU.
    """
    if asked == "fp16" and accelerator == "cpu":
        raise HemfError("precision fp16 needs a GPU; on a CPU give --precision bf16, fp32 or auto")
    return pick_precision(accelerator) if asked == "auto" else asked


def float32_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Compute logits as validation, evaluation and prediction do: the head never under autocast.

    The body runs under the caller's autocast. Rounded to the 8 bits of bf16, logits would tie, and the
    measures that rank would differ. The few of timm's models that give several maps keep the caller's
    autocast in the head too.

    Args:
        model: a timm model in evaluation mode.
        images: B x C x H x W.

    Returns:
        float32, B x K.
    """
    network = cast("TimmModel", model)
    features = network.forward_features(images)
    if not isinstance(features, Tensor):
        return network.forward_head(features).float()
    with torch.autocast(images.device.type, enabled=False):
        return network.forward_head(features.float()).float()
