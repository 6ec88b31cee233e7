"""A run's folder: how it is made, what it says about itself, and how later verbs find their way in it."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hemf.config.pretraining import is_pretraining
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.files import clear_leftovers, lock, open_to_others, write_json, write_text
from hemf.core.text import counted
from hemf.core.untrusted import plain_name, refuse_links
from hemf.runs.environment import environment

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet


CHANGEABLE = ("epochs", "workers", "cache", "cache_dir", "devices")
"""Options that may change when a run is resumed: it learns the same (on other devices but for rounding)."""


EXPORTS = "exports"
"""Folder of a run for what is exported from it."""
EXPORTED = ("model.onnx", "model.xml", "model.bin", "model.pt2", "repository/classifier/1/model.onnx")
"""Networks in other formats."""

TEACHER = "teacher"
"""Where a run keeps what it learns from, as a model's folder, so that it is resumed with the very same."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        path: its folder.
        best: epoch and metrics of the checkpoint that was kept; empty for a cross-validation.
        folds: the runs of a cross-validation, in the order of its folds.
    """

    path: Path
    best: dict[str, float]
    folds: tuple["Run", ...] = ()


@dataclass(frozen=True)
class OpenRun:
    """Where a run's parts lie.

    Args:
        model: folder with ``model.safetensors`` and ``config.json``, or an export.
        path: the run's folder; None where only the model is at hand.
    """

    model: Path
    path: Path | None

    @property
    def is_export(self) -> bool:
        """Whether the model is in another format than ours."""
        return is_export(self.model)

    @property
    def manifest(self) -> "DataSet | None":
        """The run's images and split, even if their files are gone; None if only its model is at hand.

        An export of a cross-validation was trained on the images of all folds.
        """
        from hemf.data.manifest import read_data_set

        if self.path is None:
            return None
        found = read_data_set(self.path)
        return found.with_folds_trained_on() if self.is_export else found

    @property
    def config(self) -> RunConfig:
        """Read the run's options.

        Raises:
            HemfError: only the model is at hand.
        """
        return RunConfig.load(self._run() / "config.yaml")

    @property
    def data(self) -> "DataSet":
        """Read the images of the run, with the split that it used.

        Raises:
            HemfError: only the model is at hand, or images are missing.
        """
        from hemf.data.load import load_data

        found = load_data(self._run())
        return found.with_folds_trained_on() if self.is_export else found

    def _run(self) -> Path:
        if self.path is None:
            raise HemfError(f"{self.model} is a model without its run; give the run's folder, or the data")
        return self.path


RunPaths = str | os.PathLike | Sequence[str | os.PathLike]
"""A run, a cross-validation, or several of these: in a list, or in one text with commas between."""


@dataclass(frozen=True)
class OpenRuns:
    """Runs whose models speak as one; a single one speaks alone.

    Args:
        members: the runs.
        folds: folder of the cross-validation whose runs they are; None for others.
    """

    members: tuple[OpenRun, ...]
    folds: Path | None = None

    @property
    def home(self) -> OpenRun:
        """The run that what is made of all is kept with: the cross-validation, else the first."""
        return self.members[0] if self.folds is None else replace(self.members[0], path=self.folds)


def open_runs(runs: RunPaths) -> OpenRuns:
    """Open a run, or the members of an ensemble: a cross-validation's, or several.

    Args:
        runs: see ``RunPaths``. A path that exists is taken before it is read as several.

    Raises:
        HemfError: as ``open_run``; a fold has not finished, one run is there twice, or an export is to speak
            with others.
    """
    if isinstance(runs, str) and "," in runs and not os.path.exists(runs):
        runs = [part.strip() for part in runs.split(",") if part.strip()]
    paths = [Path(one) for one in ([runs] if isinstance(runs, str | os.PathLike) else runs)]
    if not paths:
        raise HemfError("no run; give the folder that hemf train has made")
    folds = [fold_paths(path) for path in paths]
    each = [one for path, those in zip(paths, folds, strict=True) for one in finished(path, those) or [path]]
    members = tuple(map(open_classifier, each))
    places = [member.model.resolve() for member in members]
    if twice := [one for i, one in enumerate(each) if places[i] in places[:i]]:
        raise HemfError(f"{twice[0]} is there twice; name each run of an ensemble once")
    if len(members) > 1 and (exports := [one.model for one in members if one.is_export]):
        raise HemfError(f"{exports[0]} is an export, which speaks alone; make the ensemble of runs")
    return OpenRuns(members, paths[0] if len(paths) == 1 and folds[0] else None)


def finished(path: Path, folds: Sequence[Path]) -> Sequence[Path]:
    """Return the folds of the cross-validation at ``path``, all of which must be trained.

    Raises:
        HemfError: one has not finished.
    """
    if unfinished := [fold for fold in folds if not is_model(fold / "model")]:
        again = f"hemf train --resume {shlex.quote(str(path))}"
        raise HemfError(f"{unfinished[0]} has not finished; continue the cross-validation with {again}")
    return folds


def open_classifier(path: str | os.PathLike) -> OpenRun:
    """Find a trained run, or the model alone, that tells classes apart; see ``open_run``.

    Raises:
        HemfError: as ``open_run``, or it is a pretraining.
    """
    found = open_run(path)
    if found.path is not None and is_pretraining(found.path):
        then = f"hemf train --init {shlex.quote(str(found.path))}"
        raise HemfError(
            f"{found.path} is a pretraining, whose network knows no classes; train it with {then}"
        )
    return found


def open_run(path: str | os.PathLike) -> OpenRun:
    """Find a trained run, the model alone, or an export of it, at ``path``.

    Args:
        path: a run's folder, its ``model`` folder, an export, or a copy of one of these elsewhere.

    Raises:
        HemfError: neither is there, the run has not finished, or a link in it leads out of it.
    """
    path = Path(path)
    if path.is_dir():
        refuse_links(path)
    if is_model(path):
        parent = path.resolve().parent
        return OpenRun(
            model=path, path=parent if _is_run(parent) and path.resolve().name == "model" else None
        )
    if is_export(path):
        home = path.resolve().parents[1]
        return OpenRun(path, home if _is_run(home) and path.resolve().parent.name == EXPORTS else None)
    if _is_run(path):
        if folds := fold_paths(path):
            raise HemfError(
                f"{path} is a cross-validation of {counted(len(folds), 'run')}; give one of them, {folds[0]}"
            )
        if not is_model(path / "model"):
            verb = "hemf pretrain" if is_pretraining(path) else "hemf train"
            again = f"{verb} --resume {shlex.quote(str(path))}"
            raise HemfError(f"the run {path} has not finished; continue it with {again}")
        return OpenRun(model=path / "model", path=path)
    if not path.exists():
        raise HemfError(f"no run at {path}; give the folder that hemf train has made")
    raise HemfError(f"{path} is neither a run nor a model folder: it has no config.yaml and no config.json")


def fold_paths(path: str | os.PathLike) -> list[Path]:
    """List the folders of a cross-validation's runs, trained or not yet; empty for anything else.

    Its images have folds and no side of a split, or only the test images have no fold, unlike those of a run.
    """
    from hemf.data.manifest import read_data_set

    path = Path(path)
    if not _is_run(path) or is_model(path / "model"):
        return []
    refuse_links(path)
    if is_pretraining(path):
        return []
    data = read_data_set(path)
    if any(s.split for s in data.samples) and not data.keeps_test:
        return []
    return [path / f"fold{fold}" for fold in data.folds]


def _is_run(path: Path) -> bool:
    return (path / "config.yaml").is_file() and (path / "manifest.csv").is_file()


def is_model(path: Path) -> bool:
    """Return whether ``path`` is a folder with a model's weights and configuration."""
    return (path / "config.json").is_file() and (path / "model.safetensors").is_file()


def is_export(path: Path) -> bool:
    """Return whether ``path`` is a folder with a network in another format and its configuration."""
    return (path / "config.json").is_file() and any((path / file).is_file() for file in EXPORTED)


def run_path(config: RunConfig, data: "DataSet") -> Path:
    """Choose the folder of a new run under ``out``: its name, or data, model and time.

    Raises:
        HemfError: a run of that name exists.
    """
    moment = datetime.now().strftime("%Y%m%d-%H%M%S")
    model = config.model.replace(":", "/").rpartition("/")[2]
    run = Path(config.out) / (config.name or f"{plain_name(data.name)}-{model}-{moment}")
    if run.exists():
        raise HemfError(f"the run {run} exists; continue it with --resume {run}, or choose another --name")
    return run


def make_run(
    run: Path,
    config: RunConfig,
    data: "DataSet",
    precision: str,
    threads: int,
    write_more: Callable[[Path], None] | None = None,
    recipe: str = "",
    processes: int = 1,
) -> None:
    """Make the folder ``run``, whole or not at all.

    It holds ``config.yaml`` (the options), ``manifest.csv``, ``dataset.json`` and ``fingerprints.csv`` (the
    images and their split), ``environment.json`` (versions and hardware), what ``write_more`` writes, and
    where there is a text of a ``recipe`` ``recipe.yaml``.

    Raises:
        HemfError: the folder cannot be written.
    """
    from hemf.data.manifest import write_data_set

    temporary = handle = None
    try:
        run.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(run)
        temporary = Path(tempfile.mkdtemp(prefix=f".{run.stem}-part-", suffix=run.suffix, dir=run.parent))
        handle = os.open(temporary, os.O_RDONLY)
        lock(handle, wait=True)
        config.save(temporary / "config.yaml")
        if recipe:
            write_text(temporary / "recipe.yaml", recipe)
        write_data_set(data, temporary)
        write_json(temporary / "environment.json", environment(precision, threads, processes))
        if write_more is not None:
            write_more(temporary)
        open_to_others(temporary, 0o777)
        temporary.rename(run)
    except OSError as error:
        raise HemfError(
            f"cannot make the run {run}: {error.strerror or error}; choose another --out"
        ) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary)
        if handle is not None:
            os.close(handle)
