"""Models and weights from timm's hub, or from its cache where there is no network.

What lies at a place, a folder (``local-dir:``) or a repository (``hf-hub:``), is a stranger's: timm would
take every argument that its configuration names, and with them where to read and write.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.error import URLError

import timm
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.utils import get_session
from timm.models import parse_model_name

from hemf.core.errors import HemfError
from hemf.core.text import one_line
from hemf.models.hub import CONFIG, INPUT, checked_network, network_of
from hemf.weights.files import of_folder
from hemf.weights.registry import Weights

if TYPE_CHECKING:
    from hemf.core.precision import TimmModel

PATIENCE = 5.0  # seconds for the hub to answer at all


def network_at(place: str) -> tuple[str, dict[str, Any]]:
    """Return what network is at a place: its architecture and arguments, without the number of classes.

    Raises:
        HemfError: there is none, it cannot be fetched, or its configuration names what a network has not.
    """
    try:
        source, where = parse_model_name(place)
        if source == "local-dir":
            architecture, arguments, _ = checked_network(where)
        else:
            architecture, arguments = network_of(_fetched(place, where).parent)
    except ValueError as error:
        raise HemfError(f"no network at {place}: {one_line(error)}") from error
    return architecture, {name: value for name, value in arguments.items() if name != "num_classes"}


def _fetched(place: str, where: str) -> Path:
    repository, _, revision = where.partition("@")
    try:
        with _asking_the_hub(place):
            return Path(hf_hub_download(repository, CONFIG, revision=revision or None))
    except OSError as error:
        raise HemfError(f"cannot read {place}: {one_line(error, 200)}") from error


def of_timm(name: str) -> Weights:
    """Load weights by timm's name of a model, with or without tag, or from a place such as ``hf-hub:...``.

    Raises:
        HemfError: timm has none of that name, or they are neither here nor to be had.
    """
    if name.startswith("local-dir:"):
        return of_folder(Path(parse_model_name(name)[1]))
    if ":" in name:
        network_at(name)  # refuses what timm would do with more than a network's own arguments
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
    with _asking_the_hub(name):
        return cast("TimmModel", timm.create_model(name, pretrained=True, **arguments))


@contextmanager
def _asking_the_hub(name: str) -> Iterator[None]:
    """Turn what goes wrong inside the block for want of a network into a line that says what to do."""
    with offline_without_network() as offline:
        try:
            yield
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
