"""Pretrained weights: from timm's hub, from its cache where there is no network, or a line that says how."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.error import URLError

import timm
from huggingface_hub import constants
from huggingface_hub.utils import get_session

from hemf.core.errors import HemfError
from hemf.models.hub import INPUT
from hemf.weights.registry import Weights

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

PATIENCE = 5.0  # seconds for the hub to answer at all


def of_timm(name: str) -> Weights:
    """Load weights by timm's name of a model, with or without tag, or from a place such as ``hf-hub:...``.

    Raises:
        HemfError: timm has none of that name, or they are neither here nor to be had.
    """
    model = pretrained_model(name)
    about = model.pretrained_cfg
    licence = f", {about['license']}" if about.get("license") else ""
    return Weights(
        f"{name} (timm{licence})",
        model.state_dict(),
        about.get("architecture", ""),
        {key: about[key] for key in INPUT if about.get(key)},
        tuple(about.get("label_names") or ()),
    )


def pretrained_model(name: str, **arguments: Any) -> "TimmModel":
    """Load timm's model of that name with its weights.

    Raises:
        HemfError: its weights are neither here nor to be had.
    """
    with offline_without_network() as offline:
        try:
            return cast("TimmModel", timm.create_model(name, pretrained=True, **arguments))
        except OSError as error:  # the hub's own errors are of this kind too
            if offline or isinstance(error, ConnectionError | URLError):
                raise HemfError(without_weights(name)) from error
            raise


@contextmanager
def offline_without_network() -> Iterator[bool]:
    """Make the hub's library read only its cache inside the block if the hub does not answer; yield whether.

    By itself the library tries again and again, for minutes, even where the cache has what is wanted.
    """
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers()
    try:
        yield constants.HF_HUB_OFFLINE
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers() -> bool:
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # whichever HTTP library is used has its own; offline is what they all mean here
        return False
    return True


def without_weights(model: str) -> str:
    """Say what to do if the pretrained weights of ``model`` are neither here nor to be had."""
    cache = os.path.expanduser(constants.HF_HUB_CACHE)
    return (
        f"no pretrained weights for {model}: they are not in {cache}, and {constants.ENDPOINT} does not "
        "answer or HF_HUB_OFFLINE is set; copy that folder from a machine that has loaded the model, give a "
        "file of weights with --init, or leave out --pretrained"
    )
