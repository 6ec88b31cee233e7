"""Loads weights into a network: what fits by name and shape, and a line about what did not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.weights.registry import Weights

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel


@dataclass(frozen=True)
class Loaded:
    """What became of the tensors.

    Args:
        origin: where they come from.
        taken: names of the network's tensors that hold them now.
        left: names of the network's tensors that stay as they were drawn.
        head: names of the head's tensors where they begin at zero.
        dropped: names of the tensors that the network has no place for.
        values: numbers that were taken.
    """

    origin: str
    taken: tuple[str, ...]
    left: tuple[str, ...]
    head: tuple[str, ...]
    dropped: tuple[str, ...]
    values: int

    def __str__(self) -> str:
        parts = [f"{self.values / 1e6:.2f} M values in {counted(len(self.taken), 'tensor')} loaded"]
        if self.left:
            parts.append(f"{len(self.left)} left as drawn ({_some(self.left)})")
        if self.head:
            parts.append(f"a new head begins at zero ({_some(self.head)})")
        if self.dropped:
            parts.append(f"{len(self.dropped)} dropped ({_some(self.dropped)})")
        return f"weights from {self.origin}: {', '.join(parts)}"


def load_into(model: "TimmModel", weights: Weights, classes: Sequence[str]) -> Loaded:
    """Give a network the weights that fit it by name and shape.

    Its head is loaded only where the weights know the very same classes in the same order; else it begins at
    zero (see ``zero_head``). A first convolution of other input channels is adapted as timm does it.

    Args:
        model: a network of timm's kind; it is changed.
        weights: what to give it.
        classes: names of the classes that its head is to tell apart.

    Raises:
        HemfError: nothing but a head fits.
    """
    own = model.state_dict()
    head = set() if weights.classes == tuple(classes) else head_names(model)
    offered = dict(weights.tensors)
    _adapt_first(model, own, offered)
    fits = {
        name: value
        for name, value in offered.items()
        if name in own and own[name].shape == value.shape and name not in head
    }
    if not any(value.dim() > 1 for value in fits.values()):
        made_for = f"; they are of {weights.architecture}" if weights.architecture else ""
        raise HemfError(
            f"none of the weights from {weights.origin} fits {type(model).__name__}{made_for}; give another "
            "--init, or the --model that they were made for"
        )
    model.load_state_dict(fits, strict=False)
    new_head = () if head_names(model) & fits.keys() else zero_head(model)
    learnt = [name for name in own if not name.endswith("num_batches_tracked")]
    return Loaded(
        weights.origin,
        tuple(name for name in learnt if name in fits),
        tuple(name for name in learnt if name not in fits and name not in new_head),
        new_head,
        tuple(name for name in offered if name not in fits and not name.endswith("num_batches_tracked")),
        sum(value.numel() for name, value in fits.items() if name in learnt),
    )


def head_names(model: "TimmModel") -> set[str]:
    """Return the names of the tensors of the layer (or layers) that give the logits."""
    found = model.get_classifier()
    layers = list(found) if isinstance(found, tuple | list) else [found]
    heads = {id(tensor) for layer in layers for tensor in layer.parameters()}
    return {name for name, tensor in model.named_parameters() if id(tensor) in heads}


def zero_head(model: "TimmModel") -> tuple[str, ...]:
    """Let the layer (or layers) that give the logits begin at zero.

    Beside features that mean something already, a drawn head begins with large losses (timm's EfficientNets
    draw it from -0.7 to 0.7 for two classes), whose gradients tear the features about before they are of use
    (Kolesnikov et al. 2020, Big Transfer, section 3.3, begins at zero too).

    Returns:
        The names of its tensors.
    """
    heads = head_names(model)
    found = {name: tensor for name, tensor in model.named_parameters() if name in heads}
    with torch.no_grad():
        for tensor in found.values():
            tensor.zero_()
    return tuple(found)


def _adapt_first(model: nn.Module, own: dict[str, Tensor], offered: dict[str, Tensor]) -> None:
    """Bring first convolutions for RGB to the network's number of channels."""
    first = getattr(model, "pretrained_cfg", {}).get("first_conv") or ()
    for layer in [first] if isinstance(first, str) else first:
        name = f"{layer}.weight"
        if name in own and name in offered and own[name].shape[1] != offered[name].shape[1] == 3:
            offered[name] = adapt_input_conv(own[name].shape[1], offered[name].to(torch.float32))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
