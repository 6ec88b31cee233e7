"""Pretrained weights: from timm's hub, from its cache where there is no network, or a line that says how."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from huggingface_hub.utils import get_session

PATIENCE = 5.0  # seconds for the hub to answer at all


@contextmanager
def offline_without_network() -> Iterator[bool]:
    """Inside the block the hub's library reads its cache alone where the hub does not answer; yields whether.

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
    """What to say, and to do, where the pretrained weights of ``model`` are neither here nor to be had."""
    cache = os.path.expanduser(constants.HF_HUB_CACHE)
    return (
        f"no pretrained weights for {model}: they are not in {cache}, and {constants.ENDPOINT} does not "
        "answer or HF_HUB_OFFLINE is set; copy that folder from a machine that has loaded the model, give a "
        "file with --model-args '{pretrained_cfg_overlay: {file: weights.safetensors}}', or leave out "
        "--pretrained"
    )
