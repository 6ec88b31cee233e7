"""Chooses the layers of a model that heat maps are taken at."""

import difflib
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from hemf.core.errors import HemfError
from hemf.explanation.evidence import Evidence, evidence_at, trunk
from hemf.explanation.selection import selects


def default_layer(
    model: nn.Module, images: Tensor | None = None, targets: Sequence[int] | None = None
) -> str:
    """Return the layer whose map the head classifies.

    The last fusion of HEMF and its relatives, the mixture of the stages where HEMF selects among them, and
    the last stage of any other of timm's models. Behind the last stage of a network whose head reads the
    class token alone the patches no longer matter to the class: then it is what the last block's attention
    reads. Where the model names no such layer, or the class does not depend on it, it is the last of the
    model's parts, blocks and norms that the class does depend on, of more than one place if there is one.

    Args:
        model: a classifier.
        images: B x C x H x W; the first is tried. By default none is, and the layer is what the model says.
        targets: the class of each image; by default the one that the model predicts.

    Raises:
        HemfError: no layer gives a map, or, without images, the model does not say where its maps are (timm's
            ``feature_info``).
    """
    usual = _usual_layers(model)
    if images is None:
        if not usual:
            raise HemfError(f"{type(model).__name__} does not name its maps; name a layer with --layer")
        return usual[-1 if getattr(model, "global_pool", None) == "token" else 0]
    found = _evidence(model, images, targets, usual)
    if (good := next((name for name in usual if name in found and found[name].found), None)) is not None:
        return good
    found |= _evidence(model, images, targets, trunk(model))
    mattering = [name for name, one in found.items() if one.found]
    several = [name for name in mattering if found[name].grid != (1, 1)]
    maps = several or mattering or [name for name in usual if name in found] or list(found)
    if not maps:
        raise HemfError(
            f"no layer of {type(model).__name__} gives a map of the image, so there is no heat map"
        )
    return maps[-1]


def chosen_layer(
    model: nn.Module, images: Tensor, targets: Sequence[int] | None = None, layer: str | None = None
) -> str:
    """Return the layer asked for, if the class depends on its places; by default ``default_layer``.

    Args:
        model: as for ``default_layer``.
        images: as for ``default_layer``.
        targets: as for ``default_layer``.
        layer: its name.

    Raises:
        HemfError: no such layer, or the class depends on the places of others but not on this one's; the
            message names one that works.
    """
    if layer is None:
        return default_layer(model, images, targets)
    find_layer(model, layer)
    seen = _evidence(model, images, targets, [layer])
    if layer not in seen or seen[layer].found:
        return layer
    better = default_layer(model, images, targets)
    if not _evidence(model, images, targets, [better])[better].found:
        return layer  # nothing in the image speaks for the class, wherever one looks
    raise HemfError(
        f"no evidence at layer {layer!r}: behind it the class no longer depends on the places of its map, "
        f"so that every heat map is black; choose another --layer, such as {better}"
    )


def stage_layers(
    model: nn.Module, images: Tensor | None = None, targets: Sequence[int] | None = None
) -> dict[str, list[str]]:
    """Return the layers of every stage, by branch, from the first stage to the last.

    For HEMF ``local``, ``global`` and ``fusion``, four layers each; its relatives have branches of the same
    names, CAME its ``external`` one besides. Any other model has the one branch ``stages``: the layers that
    it names as its maps or, where there are no such layers, the last block of each resolution. With images
    those that the class does not depend on are left out, and the default layer stands in for the last.

    Args:
        model: as for ``default_layer``.
        images: as for ``default_layer``.
        targets: as for ``default_layer``.

    Raises:
        HemfError: as ``default_layer``.
    """
    last, named = default_layer(model, images, targets), _named_maps(model)
    if selects(model) or (last.endswith(".fusion") and hasattr(model, "stages")):
        return _branches(model, named)
    usual = getattr(model, "usual_maps", range(len(named)))
    if len(usual) and max(usual) < len(named):  # else it is a smaller one of its kind
        named = [named[index] for index in usual]
    if images is None:
        return {"stages": named}
    modules = dict(model.named_modules())
    known = [name for name in named if name in modules]
    found = _evidence(model, images, targets, {*trunk(model), *known, last})
    stages = [name for name in known if name in found and found[name].found]
    if not stages:
        by_grid = {one.grid: name for name, one in found.items() if one.found and "norm" not in name}
        stages = [name for grid, name in by_grid.items() if grid not in ((1, 1), found[last].grid)]
    if stages[-1:] != named[-1:]:
        stages = [name for name in stages if name != last] + [last]
    return {"stages": stages}


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Return the layer called ``name``, as in ``model.named_modules()``.

    Raises:
        HemfError: there is no such layer; the message lists the nearest names.
    """
    modules = dict(model.named_modules())
    if name and name in modules:
        return modules[name]
    near = difflib.get_close_matches(name, [one for one in modules if one], n=4, cutoff=0.5)
    words = ", ".join(near or _usual_layers(model)[:1] or list(modules)[-1:])
    raise HemfError(f"{type(model).__name__} has no layer {name!r}; near names: {words}")


def _evidence(
    model: nn.Module, images: Tensor, targets: Sequence[int] | None, layers: Iterable[str]
) -> dict[str, Evidence]:
    """Look at the first image alone, because whether a class can depend on a layer is up to the network."""
    return evidence_at(model, images[:1], None if targets is None else targets[:1], layers)


def _named_maps(model: nn.Module) -> list[str]:
    """Read where the model says its maps are (timm's ``feature_info``); not all of timm's are right."""
    info = getattr(model, "feature_info", None) or []
    return [one["module"] for one in info if "module" in one]


def _usual_layers(model: nn.Module) -> list[str]:
    """List where the model says its last map is, and what the last block's attention reads, best first."""
    names, modules = _named_maps(model), dict(model.named_modules())
    if not names:
        return []
    last = f"{names[-1]}.fusion" if f"{names[-1]}.fusion" in modules else names[-1]
    mixture = ["selection"] if selects(model) else []
    return [*mixture, *(name for name in (last, f"{last}.norm1") if name in modules)]


def _branches(model: nn.Module, stages: Sequence[str]) -> dict[str, list[str]]:
    branches: dict[str, list[str]] = {}
    for stage in stages:
        for name, _ in model.get_submodule(stage).named_children():
            branch, _, kind = name.partition("_")
            if name == "fusion" or kind in ("block", "blocks"):
                branches.setdefault(branch, []).append(f"{stage}.{name}")
    return branches
