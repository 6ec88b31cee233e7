"""The options that a run is taken up with: its own, and those that change no weight."""

import shlex
from pathlib import Path
from typing import Any, TypeVar

from hemf.config.pretraining import PretrainConfig, is_pretraining
from hemf.config.run_config import RunConfig
from hemf.config.spelling import flags
from hemf.core.errors import HemfError
from hemf.core.untrusted import refuse_links
from hemf.runs.consent import check_run
from hemf.runs.folder import CHANGEABLE, fold_paths

Options = TypeVar("Options", bound=RunConfig)


def options_to_resume(path: Path, given: dict[str, Any], trust: bool, kind: type[Options]) -> Options:
    """Return the options of a run that is to go on, once they are found to be allowed.

    Args:
        path: the run's folder, or a cross-validation's.
        given: options that the user gave.
        trust: whether the run is the user's own, so that it may ask for anything.
        kind: the options of the kind of training that it has to be.

    Raises:
        HemfError: there is no run, it is of the other kind, an option would change its weights, or its files
            ask for what only a person may.
    """
    pretraining = kind is PretrainConfig
    verb, other = ("hemf pretrain", "hemf train") if pretraining else ("hemf train", "hemf pretrain")
    if not (path / "config.yaml").is_file() or not (path / "manifest.csv").is_file():
        raise HemfError(f"no run to resume at {path}; give the folder that {verb} has made")
    refuse_links(path)
    if is_pretraining(path) is not pretraining:
        raise HemfError(
            f"{path} was made by {other}; continue it with {other} --resume {shlex.quote(str(path))}"
        )
    kept = kind.load(path / "config.yaml")
    if fixed := [name for name, value in given.items() if _differs(kept, name, value)]:
        raise HemfError(
            f"a resumed run keeps its own {flags(fixed)}; leave that out (only {flags(CHANGEABLE)} "
            "may be given with --resume), or start a new run"
        )
    if not trust:
        folds = fold_paths(path)
        for run in [path, *folds] if folds else [path]:
            if (run / "config.yaml").is_file():
                check_run(run, kind.load(run / "config.yaml"), given)
    return kind.load(path / "config.yaml", **given)


def _differs(kept: RunConfig, name: str, value: Any) -> bool:
    """Say whether a resumed run may not take an option: it differs from the run's, and may change weights."""
    return name not in CHANGEABLE and (not hasattr(kept, name) or getattr(kept, name) != value)
