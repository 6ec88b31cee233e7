"""Decides what a recipe, a suite or a run's folder may ask for, and what only a person may.

Such a file may come from a stranger. It may say how to train; it may not fetch weights, start a compiler or
processes, or choose where files are written (``hemf.core.untrusted``), and its ``model_args`` are those of
the network itself (``hemf.models.constructor``). ``--trust`` says that the file is one's own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hemf.config.names import weight_names
from hemf.config.run_config import RECIPES, RunConfig, read_recipe
from hemf.core.errors import HemfError
from hemf.core.untrusted import STARTS, refuse_requests
from hemf.runs.folder import TEACHER, is_model


def check_recipe(recipe: str, given: Mapping[str, Any]) -> None:
    """Check what a recipe asks for; those of the package may ask for anything.

    Args:
        recipe: name of a recipe, or path of a YAML file.
        given: options that a person gave, in place of the recipe's.

    Raises:
        HemfError: no such recipe, or it asks for what a file may not.
    """
    if recipe not in RECIPES.names():
        values = {name: value for name, value in read_recipe(recipe).items() if name not in given}
        check_options(values, f"recipe {recipe}", given.get("model"))


def check_options(values: Mapping[str, Any], where: str, model: str | None = None) -> None:
    """Check options from a file.

    Args:
        values: the options, by name.
        where: the file, for messages.
        model: the model where ``values`` name none; by default that of ``RunConfig``.

    Raises:
        HemfError: they ask for what a file may not.
    """
    refuse_requests(_without_own_weights(values), where)
    if arguments := values.get("model_args"):
        check_network(values.get("model") or model or RunConfig.model, arguments, where)


def _without_own_weights(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out ``init`` where it names weights that hemf's extra installs: that reads no other file."""
    return {name: value for name, value in values.items() if name != "init" or value not in weight_names()}


def check_network(model: str, arguments: Any, where: str) -> None:
    """Check that arguments from a file are the network's own.

    Raises:
        HemfError: they are not, or there is no such model.
    """
    import hemf.models  # noqa: F401  registers the models
    from hemf.models.constructor import check_arguments

    try:
        check_arguments(model, arguments)
    except ValueError as error:
        raise HemfError(f"{where}: {error}, or add --trust if the file is your own") from error


def check_run(path: Path, kept: RunConfig, given: Mapping[str, Any]) -> None:
    """Check what a run's ``config.yaml`` asks for, before the run is taken up.

    Its ``out`` and ``name`` play no part then, and its ``cache_dir`` is only read. Where weights come from
    does not matter once there is a checkpoint.

    Args:
        path: the run's folder.
        kept: its options.
        given: options that a person gave.

    Raises:
        HemfError: it asks for what a file may not.
    """
    from hemf.models.constructor import network_arguments

    where, started = str(path / "config.yaml"), (path / "checkpoints" / "last.ckpt").is_file()
    values = {name: getattr(kept, name) for name in STARTS if name not in given}
    if started:
        values = {name: value for name, value in values.items() if name not in ("pretrained", "init")}
    if is_model(path / TEACHER):  # its teacher lies in the run's own folder
        values.pop("teacher", None)
    refuse_requests(_without_own_weights(values), where)
    if "model_args" not in given and ":" not in kept.model:
        check_network(kept.model, network_arguments(kept.model_args) if started else kept.model_args, where)
