"""What a network costs, by counting: parameters, multiply-adds, and what a training step keeps in memory.

Everything here also works under ``on_paper``, where tensors have shapes and kernels but no numbers, so that
counting takes a second or two and no memory.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def on_paper(build: Callable[[], nn.Module]) -> Iterator[nn.Module]:
    """Build a model whose tensors have no numbers, on a CPU in name only; new tensors have none either.

    Operators choose the kernels they would choose on a CPU, so that what they save for the backward pass is
    what they would save there.
    """
    model = skeleton(build)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield model.to_empty(device="cpu")


def skeleton(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a model that has the shapes of its parameters and buffers alone; it does not run."""
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):  # its constructor looks at numbers
        return build().to("meta")


def parameters_of(model: nn.Module) -> int:
    """Return the number of all parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


class Operations(NamedTuple):
    """Multiply-adds of one forward pass by two conventions, and the parameters that the first one sees.

    Attributes:
        thop: by thop's layer count, see ``LayerCount``.
        torch: half the floating-point operations of ``torch.utils.flop_counter``: matrix products and
            convolutions, those of attention included; nothing else.
        thop_params: parameters of the layers that thop's count knows and that ran.
    """

    thop: int
    torch: int
    thop_params: int


class LayerCount:
    """Forward hook that counts as thop 0.1.1 does, to the digit.

    Only layers that are modules count, and only of exactly the classes in ``LAYER_RULES``, not of their
    subclasses: attention's products, softmaxes and pooling written as functions, ``GroupNorm`` and timm's own
    norms count nothing. Convolutions and linear layers count multiply-adds without bias, norms four
    operations for each number (two without weights), softmax three, average pooling one and more. A layer
    counts each time it runs.
    """

    def __init__(self) -> None:
        self.operations = 0
        self.layers: set[nn.Module] = set()

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.operations += LAYER_RULES[type(layer)](layer, inputs[0], output)
        self.layers.add(layer)

    @property
    def params(self) -> int:
        """Parameters of the layers that ran."""
        return sum(parameter.numel() for layer in self.layers for parameter in layer.parameters())


def _convolution(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: Tensor, y: Tensor) -> int:
    return y.numel() * (x.shape[1] // layer.groups) * math.prod(layer.weight.shape[2:])


def _linear(layer: nn.Linear, x: Tensor, y: Tensor) -> int:
    return y.numel() * layer.in_features


def _norm(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    weighted = getattr(layer, "affine", False) or getattr(layer, "elementwise_affine", False)
    return x.numel() * (4 if weighted else 2)


def _softmax(layer: nn.Softmax, x: Tensor, y: Tensor) -> int:
    assert layer.dim is not None, "without a dimension PyTorch only warns that it guesses"
    return 3 * x.numel() - x.numel() // x.shape[layer.dim]


def _average_pool(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    return y.numel()


def _adaptive_average_pool(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    window = math.prod(x.shape[2:]) / math.prod(y.shape[2:])
    return int((window + 1) * y.numel())


def _each_number(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    return 0 if layer.training else x.numel()


Rule = Callable[[Any, Tensor, Tensor], int]
LAYER_RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: _linear,
    nn.LayerNorm: _norm,
    nn.SyncBatchNorm: _norm,
    nn.Softmax: _softmax,
    nn.PReLU: _each_number,
    **{
        getattr(nn, f"{name}{dimensions}d"): rule
        for dimensions in (1, 2, 3)
        for name, rule in {
            "Conv": _convolution,
            "ConvTranspose": _convolution,
            "BatchNorm": _norm,
            "InstanceNorm": _norm,
            "AvgPool": _average_pool,
            "AdaptiveAvgPool": _adaptive_average_pool,
        }.items()
    },
}
"""thop's rules but those for recurrent layers and for upsampling, which no image classifier here needs."""


def count_operations(model: nn.Module, images: Tensor) -> Operations:
    """Return the multiply-adds of one forward pass in eval mode.

    torch's counter does not know every fused attention kernel (not the CPU's, for one), so attention runs as
    the plain products that it knows.
    """
    layers, flops = LayerCount(), FlopCounterMode(display=False)
    hooks = [m.register_forward_hook(layers) for m in model.modules() if type(m) in LAYER_RULES]
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), flops:
            model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return Operations(layers.operations, flops.get_total_flops() // 2, layers.params)


class Step(NamedTuple):
    """What a training step keeps and reaches.

    Attributes:
        saved_bytes: bytes of the tensors that autograd saves for the backward pass, each storage once;
            parameters and buffers, which are there anyway, do not count.
        params_with_grad: parameters that receive a gradient.
    """

    saved_bytes: int
    params_with_grad: int


def training_step(model: nn.Module, images: Tensor, precision: str = "fp32") -> Step:
    """Run forward and backward pass of a training step, and see what it saves.

    Args:
        model: a classifier; of one that returns several logits, the mean of their losses is taken.
        images: (B, C, H, W).
        precision: ``fp32``, or ``bf16`` or ``fp16`` for mixed precision.
    """
    lasting = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    saved: dict[int, int] = {}

    def see(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in lasting:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    model.train().zero_grad(set_to_none=True)
    with saved_tensors_hooks(see, lambda tensor: tensor):
        loss = classification_loss(model, images, precision)
    loss.backward()
    reached = sum(p.numel() for p in model.parameters() if p.grad is not None)
    model.zero_grad(set_to_none=True)
    return Step(sum(saved.values()), reached)


def classification_loss(model: nn.Module, images: Tensor, precision: str) -> Tensor:
    """Return cross-entropy of a forward pass under ``precision``, every image being of the first class."""
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
    with autocast(images.device, precision):
        output = model(images)
    heads = output if isinstance(output, tuple) else (output,)
    losses = (F.cross_entropy(logits.float(), labels) for logits in heads)
    return reduce(torch.add, losses) / len(heads)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a context of mixed precision on a device; of none for ``fp32``."""
    return torch.autocast(device.type, dtype=AUTOCAST.get(precision), enabled=precision in AUTOCAST)
