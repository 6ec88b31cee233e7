import pytest
import torch

from hemf import HemfError
from hemf.core import precision
from hemf.core.precision import cpu_flags, pick_precision, resolve_precision


@pytest.mark.parametrize(
    ("flags", "expected"), [({"amx_bf16"}, "bf16"), ({"avx512_bf16"}, "bf16"), (set(), "fp32")]
)
def test_cpu(monkeypatch, flags, expected):
    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    assert pick_precision("cpu") == expected


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_gpu(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    assert pick_precision("cuda") == pick_precision("gpu") == expected


def test_flags_are_found_without_help_from_torch(monkeypatch):
    found = cpu_flags()
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert cpu_flags() == found


def test_what_was_asked_for_is_used():
    assert resolve_precision("fp32", "cpu") == "fp32"
    assert resolve_precision("bf16", "cpu") == "bf16"
    with pytest.raises(HemfError, match="fp16 needs a GPU"):
        resolve_precision("fp16", "cpu")
