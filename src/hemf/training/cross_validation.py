"""Cross-validation: in one folder a run for each fold, made one after the other.

The folder holds the options (``config.yaml``), the images with the fold that each is tested in
(``manifest.csv``) and ``fold0``, ``fold1`` ..., each a run like any other.
"""

import shlex
from dataclasses import replace
from pathlib import Path

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.machine import model_threads
from hemf.core.text import counted
from hemf.data.dataset import DataSet
from hemf.data.load import load_data
from hemf.data.loading.cache import cache_folder
from hemf.data.manifest import read_data_set
from hemf.data.splits import fold_training, split_data
from hemf.runs.environment import processes_of, read_environment
from hemf.runs.folder import CHANGEABLE, Run, finished, fold_paths, is_model, make_run, run_path
from hemf.training.classification import build
from hemf.training.lightning import build_trainer, check_hardware, picked_precision
from hemf.training.trainer import (
    begin,
    check_files,
    fingerprinted,
    is_first_process,
    run_console,
    set_aside,
    take_up,
)


def start_folds(config: RunConfig, folds: int, keep_test: bool = False, recipe: str = "") -> Run:
    """Train a new run for each of ``folds`` folds.

    Args:
        config: the options.
        folds: number of folds.
        keep_test: the data's own test images are in no fold, and the folds validate; see ``in_folds``.
        recipe: as for ``make_run``.

    Raises:
        HemfError: see ``hemf.train``.
    """
    if config.fold is not None:
        raise HemfError("--fold trains one fold and --folds all of them; give one of the two")
    check_hardware(config)
    if keep_test and config.val_split != "val":
        raise HemfError("--keep-test validates each run on its fold; leave out --val-split")
    data = in_folds(load_data(config.data), folds, keep_test)
    if (cache := cache_folder(config)) is not None:  # one for all folds, beside the prepared images
        config = replace(config, cache_dir=str(cache))
    precision = picked_precision(config)
    # What cannot be trained is better known before the first fold is.
    images = [build(_of_fold(config, data, fold), data.for_fold(fold))[0] for fold in data.folds][-1]
    trainer = build_trainer(config, images, precision, None, run_console())
    path = run_path(config, data) if is_first_process() else None
    if path is not None:
        threads = model_threads(trainer.num_devices, on_cpu=trainer.strategy.root_device.type == "cpu")
        data = fingerprinted(data, run_console())
        make_run(path, config, data, precision, threads, recipe=recipe, processes=trainer.world_size)
        run_console().print(f"cross-validation: {counted(len(data.folds), 'fold')} in {path}")
    return _train_folds(path, config, data)


def take_up_folds(path: Path, config: RunConfig, build_cache: bool = True) -> Run:
    """Go on with the cross-validation at ``path``: finish the fold that was stopped, train those that follow.

    Args:
        path: its folder.
        config: its options, with those that have changed.
        build_cache: whether a cache may be written where the options say; one that is there is read anyway.

    Raises:
        HemfError: see ``hemf.train``.
    """
    data, before = load_data(path), RunConfig.load(path / "config.yaml")
    if data.info.get("split", {}).get("edited"):
        raise HemfError(
            f"{path / 'manifest.csv'} is not the one the cross-validation began with; "
            "put the file back as it was, or start a new run"
        )
    if not all(is_model(fold) for fold in fold_paths(path)):
        check_files(path, data)
    if is_first_process():
        if config.epochs > before.epochs:
            set_aside(path, before.epochs)
        config.save(path / "config.yaml")
    return _train_folds(path, config, data, build_cache)


def in_folds(data: DataSet, folds: int, keep_test: bool = False) -> DataSet:
    """Return the data set in folds: those it was prepared in, else ``folds`` new ones.

    With ``keep_test`` the folds divide the training and validation images alone. New folds are stratified by
    class, and keep patients or lesions together where they are known. They do not depend on the run's seed,
    so that models and seeds are compared on the same folds.

    Raises:
        HemfError: the data are in another number of folds, or cannot be divided so.
    """
    if keep_test and not data.keeps_test:
        return fold_training(data, folds)
    if data.keeps_test or (data.folds and not any(s.split for s in data.samples)):
        if len(data.folds) != folds:
            raise HemfError(
                f"{data.name} is prepared in {counted(len(data.folds), 'fold')}; give --folds "
                f"{len(data.folds)}, or prepare it again"
            )
        return data
    return split_data(data, "grouped-kfold" if data.groups else "kfold", folds=folds)


def _of_fold(config: RunConfig, data: DataSet, fold: int) -> RunConfig:
    """Return the options of one fold's run.

    Where the teacher is a cross-validation of the same folds, it is the run in there that left the same
    images out, so that nothing is learnt of them by a roundabout way.

    Raises:
        HemfError: it has other folds, or is not finished.
    """
    if config.teacher is None or not (teachers := fold_paths(config.teacher)):
        return replace(config, fold=fold)
    if read_data_set(Path(config.teacher)).hash != data.hash:
        raise HemfError(
            f"the cross-validation {config.teacher} has other images or folds than this one, so its runs "
            "have seen what is left out here; give --teacher one of the same data with the same --folds"
        )
    teacher = finished(Path(config.teacher), teachers)[data.folds.index(fold)]
    return replace(config, fold=fold, teacher=str(teacher))


def _train_folds(path: Path | None, config: RunConfig, data: DataSet, build_cache: bool = True) -> Run:
    """Train the folds that are not finished; the first process alone knows ``path`` of a new one."""
    runs, changes = [], {name: getattr(config, name) for name in CHANGEABLE}
    processes = None if path is None else processes_of(read_environment(path))
    if config.cache_dir is None:  # then a fold knows better where its cache is
        del changes["cache_dir"]
    try:
        for fold in data.folds:
            run_console().print(f"fold {fold} ({len(runs) + 1} of {len(data.folds)})")
            here = path / f"fold{fold}" if path else None
            if here is not None and here.exists():
                runs.append(take_up(here, RunConfig.load(here / "config.yaml", **changes), build_cache))
                continue
            where = {} if path is None else {"data": str(path), "out": str(path), "name": f"fold{fold}"}
            if config.budget is not None:
                where["budget"] = f"{config.seconds / len(data.folds):.3f}s"
            own = replace(_of_fold(config, data, fold), **where)
            runs.append(begin(own, data.for_fold(fold), build_cache, processes=processes))
    except (KeyboardInterrupt, SystemExit):
        again = f"hemf train --resume {shlex.quote(str(path or 'RUN'))}"
        run_console().print(f"the whole cross-validation goes on with: {again}")
        raise
    run_console().print(
        f"all {counted(len(runs), 'fold')} are trained; next: hemf evaluate {shlex.quote(str(path))}"
    )
    return Run(runs[0].path.parent, {}, tuple(runs))
