"""Which layers of a model a heat map is taken at."""

import difflib

from torch import nn

from hemf.errors import HemfError


def default_layer(model: nn.Module) -> str:
    """The layer whose map the head classifies.

    The last fusion of HEMF and its relatives; the last stage of any other of timm's models; and, where the
    head reads the class token alone, what the last block's attention reads: behind it the patches no longer
    matter to the class.

    Raises:
        HemfError: the model does not say where its maps are (timm's ``feature_info``).
    """
    info = getattr(model, "feature_info", None)
    if not info:
        raise HemfError(f"{type(model).__name__} does not name its feature maps; name a layer with --layer")
    last = info[-1]["module"]
    names = dict(model.named_modules())
    if getattr(model, "global_pool", None) == "token" and f"{last}.norm1" in names:
        return f"{last}.norm1"
    return f"{last}.fusion" if f"{last}.fusion" in names else last


def stage_layers(model: nn.Module) -> dict[str, list[str]]:
    """Layers of every stage, by branch, from the first stage to the last.

    For HEMF ``local``, ``global`` and ``fusion``, four layers each; its relatives have branches of the same
    names, CAME its ``external`` one besides. Any other model has the one branch ``stages``.

    Raises:
        HemfError: the model does not say where its maps are.
    """
    last = default_layer(model)
    info = model.feature_info
    if not last.endswith(".fusion") or not hasattr(model, "stages"):
        usual = getattr(model, "usual_maps", range(len(info)))
        chosen = usual if max(usual) < len(info) else range(len(info))  # a smaller one of its kind
        return {"stages": [info[index]["module"] for index in chosen]}
    branches: dict[str, list[str]] = {}
    for stage in (one["module"] for one in info):
        for name, _ in model.get_submodule(stage).named_children():
            branch, _, kind = name.partition("_")
            if name == "fusion" or kind in ("block", "blocks"):
                branches.setdefault(branch, []).append(f"{stage}.{name}")
    return branches


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """The layer called ``name``, as in ``model.named_modules()``.

    Raises:
        HemfError: there is none; the message lists the nearest names.
    """
    modules = dict(model.named_modules())
    if name and name in modules:
        return modules[name]
    near = difflib.get_close_matches(name, [one for one in modules if one], n=4, cutoff=0.5)
    words = ", ".join(near or [default_layer(model)])
    raise HemfError(f"{type(model).__name__} has no layer {name!r}; near names: {words}")
