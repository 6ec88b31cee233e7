"""``hemf convert``: an authors' checkpoint file becomes a model folder that hemf and timm load."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hemf.core.errors import HemfError
from hemf.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hemf.core.precision import TimmModel


def convert_checkpoint(
    checkpoint: str, *, model: str = "hemf_base", out: str = "converted", classes: list[str] | None = None
) -> None:
    """Turn an authors' checkpoint into a hemf model.

    Accepts a bare state dict, or one under "net", with or without a "module." prefix. What the published code
    never uses is left out by name; anything unknown or missing is an error that lists it.

    Args:
        checkpoint: the authors' file, .pth or .safetensors.
        model: name of the model that it holds the weights of.
        out: folder for the model, which must not hold one already.
        classes: names of the classes in the order of the logits, such as MEL,NV; by default their numbers.

    Raises:
        HemfError: the file cannot be read or is not that model's, or OUT already holds a model.
    """
    from hemf.models.convert import convert, left_out

    if any((Path(out) / name).exists() for name in ("config.json", "model.safetensors")):
        raise HemfError(f"{out} already holds a model: choose another --out, or remove it first")
    theirs = _read_checkpoint(Path(checkpoint))
    try:
        ours = convert(theirs, model)
        network = _built(model, ours)
        _save(network, model, out, classes)
        _report(checkpoint, out, network, left_out(theirs, model))
    except HemfError:  # of what is written, not of the checkpoint
        raise
    except ValueError as error:
        raise HemfError(f"{checkpoint}: {error}") from error


def _read_checkpoint(path: Path) -> "Mapping[str, Any]":
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise HemfError(f"no file {path}: give the authors' checkpoint")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        theirs = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any of the readers' layers
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        raise HemfError(
            f"{path} is not a checkpoint of plain tensors ({reason}); download it again, "
            "or save only its state dict with torch.save"
        ) from error
    if not isinstance(theirs, dict):
        raise HemfError(
            f"{path} holds a {type(theirs).__name__}, not a state dict: save the model's state_dict()"
        )
    return theirs


def _built(model: str, state_dict: "Mapping[str, Any]") -> "TimmModel":
    import timm

    configuration = timm.get_pretrained_cfg(model)
    assert configuration is not None, "its names have been checked"
    classifier = configuration.classifier
    assert classifier is not None, "each of our models names it"
    classifier = classifier if isinstance(classifier, str) else classifier[0]
    network = timm.create_model(model, num_classes=len(state_dict[f"{classifier}.weight"]))
    network.load_state_dict(state_dict)
    return cast("TimmModel", network)


def _save(network: "TimmModel", model: str, out: str, classes: list[str] | None) -> None:
    from hemf.models.hub import save_model

    names = classes or [str(number) for number in range(network.num_classes)]
    save_model(network, out, architecture=model, model_args={}, classes=names, pretrained_cfg={})


def _report(checkpoint: str, out: str, network: "TimmModel", dropped: list[str]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    console.print(
        f"[bold]{escape(checkpoint)}[/] -> [bold]{escape(out)}[/]: {len(network.state_dict())} tensors, "
        f"{parameters / 1e6:.3f} M parameters, {counted(network.num_classes, 'class', 'classes')}"
    )
    modules = Counter(name.rpartition(".")[0] for name in dropped)
    for module, count in modules.items():
        console.print(escape(f"  left out (never used, or constant): {module}.* ({count})"))
