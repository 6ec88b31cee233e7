"""The input that weights were trained with, which a run follows unless told otherwise."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar, get_args, get_type_hints

import timm

from hemf.config.options import InputOptions
from hemf.config.run_config import RunConfig
from hemf.data.preprocessing.spec import check_entries
from hemf.weights.find import find_weights
from hemf.weights.hub import network_at

Options = TypeVar("Options", bound=RunConfig)
FOLLOWED = ("image_size", "mean", "std", "crop_pct", "crop_mode", "interpolation")


def at_its_place(config: Options) -> Options:
    """Replace a model that is named by its place by the network there, and its weights if they are wanted.

    Raises:
        HemfError: there is no network.
    """
    if ":" not in config.model:
        return config
    architecture, arguments = network_at(config.model)
    arguments |= config.model_args
    channels = arguments.pop("in_chans", config.in_chans)
    init = config.model if config.pretrained and config.init is None else config.init
    return replace(
        config, model=architecture, model_args=arguments, in_chans=channels, init=init, pretrained=False
    )


def follow(config: Options, given: Collection[str]) -> Options:
    """Complete the options of a run that starts from weights with the input and the model of these weights.

    Args:
        config: the options, with ``init`` or ``pretrained``.
        given: names of the options that the user gave, which stay as they are.

    Raises:
        HemfError: there are no such weights.
    """
    if config.init is not None:
        weights = find_weights(config.init)
        if weights.architecture and "model" not in given:
            config = replace(config, model=weights.architecture)
        known = {name: value for name, value in weights.input.items() if value is not None}
        check_entries(known)
    else:
        about = timm.get_pretrained_cfg(config.model)
        known = {} if about is None else about.to_dict()
    wanted = {name: value for name, value in _as_options(known).items() if name not in given}
    return replace(config, **wanted)


def input_line(config: RunConfig) -> str:
    """Describe the input in words."""
    size = " x ".join(map(str, config.input_size[1:]))
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (config.mean, config.std))
    return (
        f"input: {size} pixels, {config.crop_mode} crop {config.crop_pct:g}, {config.interpolation}, "
        f"mean {mean}, std {std}"
    )


def _as_options(known: Mapping[str, Any]) -> dict[str, Any]:
    """Translate timm's ``pretrained_cfg`` into a run's options; what hemf does not offer is left out."""
    hints = get_type_hints(InputOptions)
    found = {name: known[name] for name in FOLLOWED if known.get(name) is not None}
    if known.get("input_size") is not None:
        height, width = tuple(known["input_size"])[1:]
        found["image_size"] = height if height == width else (height, width)
    for name in ("mean", "std"):
        if name in found:
            found[name] = tuple(map(float, found[name]))
    for name in ("crop_mode", "interpolation"):
        if found.get(name) not in get_args(hints[name]):
            found.pop(name, None)
    return found
