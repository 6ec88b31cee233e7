"""From a run's options to its trained model, with Lightning's trainer."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from hemf.config.run_config import RunConfig
from hemf.core.device import device_type
from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.core.machine import computing_on, model_threads, usable_cores
from hemf.core.text import counted
from hemf.data.dataset import DataSet
from hemf.data.fingerprints import SECONDS, changed_files, take_fingerprints
from hemf.data.loading.cache import cache_folder, decoded_images, find_cache
from hemf.data.loading.datamodule import ImageData
from hemf.data.loading.workers import killed_workers_explained
from hemf.models.constructor import network_arguments
from hemf.runs.environment import differences, environment, processes_of, read_environment, threads_of
from hemf.runs.folder import TEACHER, Run, is_model, make_run, run_path
from hemf.runs.lineage import Ancestor, all_ancestors, write_ancestors
from hemf.training.callbacks.checkpoints import Checkpoints, Progress, read_checkpoint, restored_from
from hemf.training.classification import CLASSIFICATION
from hemf.training.lightning import build_trainer, check_hardware, picked_precision, quiet
from hemf.training.network import Kind, TrainedNetwork
from hemf.training.processes import Threads, shared_among
from hemf.training.stopping import resumable
from hemf.weights.known_images import known_images_lines


def start(config: RunConfig, recipe: str = "") -> Run:
    """Train a new run from options alone; ``recipe`` as for ``make_run``.

    Raises:
        HemfError: see ``hemf.train``.
    """
    check_hardware(config)
    data = CLASSIFICATION.load(Path(config.data))
    return begin(config, data if config.fold is None else data.for_fold(config.fold), recipe=recipe)


def begin(
    config: RunConfig,
    data: DataSet,
    build_cache: bool = True,
    recipe: str = "",
    kind: Kind = CLASSIFICATION,
    processes: int | None = None,
) -> Run:
    """Train a new run on ``data``, which has train, val and test sides.

    For ``build_cache`` and ``kind`` see ``take_up``, for ``recipe`` ``make_run``. The steps are those of
    ``processes``, if given, whatever there are here.

    Raises:
        HemfError: see ``hemf.train``.
    """
    console = run_console()
    precision = picked_precision(config)
    here = check_hardware(config)
    processes = processes or here
    images, network = kind.build(shared_among(config, processes, here), data)
    path = run_path(config, data) if is_first_process() else None
    trainer = build_trainer(network.config, images, precision, path, console)
    kind.announce(console, config, images, network, precision)
    config = _decode_once(config, images, console, build_cache)
    threads = model_threads(trainer.num_devices, on_cpu=device_type(config.accelerator) == "cpu")
    if path is not None:
        data = fingerprinted(data, console)
        ancestors = all_ancestors(config)
        for line in known_images_lines(ancestors, data):
            console.print(f"warning: {line}", style="bold red")
        keep = partial(_keep_sources, network, ancestors)
        make_run(path, config, data, precision, threads, keep, recipe, processes)
        console.print(f"run folder: {path}")
    with resumable(path, console, kind.verb), computing_on(threads):
        return _fit(trainer, console, config, images, network, None, kind)


def _keep_sources(network: TrainedNetwork, ancestors: Sequence[Ancestor], folder: Path) -> None:
    """Write what a run learns from into its folder: its teacher, and the images that others learnt from."""
    write_ancestors(ancestors, folder)
    if network.teacher is not None:
        network.teacher.save(folder / TEACHER)


def take_up(path: Path, config: RunConfig, build_cache: bool = True, kind: Kind = CLASSIFICATION) -> Run:
    """Go on with the run at ``path`` from its last checkpoint, or from the start if there is none yet.

    Args:
        path: the run's folder.
        config: its options, with those that have changed.
        build_cache: whether a cache may be written where the options say; one that is there is read anyway.
        kind: the kind of training that it is.

    Raises:
        HemfError: see ``hemf.train``.
    """
    console = run_console()
    last = path / "checkpoints" / "last.ckpt"
    state = Progress.of(read_checkpoint(last), last) if last.is_file() else None
    fresh = config
    if state is not None:  # last.ckpt has the weights
        fresh = replace(config, pretrained=False, init=None, model_args=network_arguments(config.model_args))
    if is_model(path / TEACHER):
        fresh = replace(fresh, teacher=str(path / TEACHER))
    about, here = read_environment(path), check_hardware(config)
    fresh = shared_among(fresh, processes_of(about) or here, here)
    data = kind.load(path)
    if state is not None and state.data != data.hash:
        raise HemfError(
            f"the images, classes or split in {path / 'manifest.csv'} are not those the run began with; "
            "put the file back as it was, or start a new run"
        )
    with resumable(path, console, kind.verb), computing_on(threads_of(about)):
        return _go_on(console, path, config, state, *kind.build(fresh, data), build_cache, kind)


def _go_on(
    console: Console,
    path: Path,
    config: RunConfig,
    state: Progress | None,
    images: ImageData,
    network: TrainedNetwork,
    build_cache: bool,
    kind: Kind,
) -> Run:
    """Train the epochs that are left, or only write the model of a run that has them all."""
    if state is not None and (state.stopped_early or state.epochs >= config.epochs):
        if is_model(path / "model"):
            more = (
                "a new run with more --patience, or more --budget, goes on"
                if state.stopped_early
                else "--epochs gives it more"
            )
            console.print(f"the run {path} is finished after {counted(state.epochs, 'epoch')}; {more}")
            return Run(path, kind.kept(path) or state.best)
        check_files(path, images.data)
        return kind.finish(console, path, config, images, network)
    if config.probe and is_model(path / "model"):
        console.print(f"the run {path} is finished: a probe has no epochs to add")
        return Run(path, {})
    check_files(path, images.data)
    about = read_environment(path)
    trainer = build_trainer(network.config, images, about["precision"], path, console)
    config = _decode_once(config, images, console, build_cache)
    if trainer.is_global_zero:
        config.save(path / "config.yaml")
        if state is not None:
            set_aside(path, state.epochs)
        now = environment(about["precision"], processes=trainer.world_size)
        write_json(path / "environment.json", about | {"resumed": [*about.get("resumed", []), now]})
        for leftover in path.glob("checkpoints/.*.ckpt"):  # of a checkpoint that was being written
            leftover.unlink()
    console.print(f"resuming {path} after epoch {state.epochs if state else 0} of {config.epochs}")
    _warn_of_other_numbers(console, network.config, about, trainer.world_size)
    checkpoint = path / "checkpoints" / "last.ckpt" if state else None
    return _fit(trainer, console, config, images, network, checkpoint, kind)


def _warn_of_other_numbers(
    console: Console, config: RunConfig, about: dict[str, Any], processes: int
) -> None:
    """Say what keeps a resumed run from the very weights of one that was never stopped, and what it costs."""
    if processes != about.get("processes", processes):
        images = config.batch_size * config.accumulate * processes
        console.print(
            f"{counted(images, 'image')} a step, as when the run began: "
            f"batches of {config.batch_size} on {counted(processes, 'device')}, --accumulate "
            f"{config.accumulate}"
        )
    if changed := differences(about, environment(about["precision"], processes=processes)):
        console.print(
            f"warning: resumed with {', '.join(changed)}: the weights will not be, bit for bit, those of a "
            "run that was never stopped",
            style="bold red",
        )
    if device_type(config.accelerator) == "cpu" and about["threads"] > usable_cores():
        console.print(
            f"warning: the run began on {counted(about['threads'], 'thread')} and keeps them, for the same "
            f"weights; the {counted(usable_cores(), 'core')} here make that slow",
            style="bold red",
        )


def fingerprinted(data: DataSet, console: Console) -> DataSet:
    """Take the fingerprints of the data set's files as they are now, and say which have changed."""
    if changed := changed_files(data):
        console.print(
            f"warning: {len(changed)} of the {counted(len(data.samples), 'image')} of {data.name} are not "
            f"as they were when it was prepared (first {changed[0]}); the run trains on what is there now",
            style="bold red",
        )
    found = take_fingerprints(data)
    if late := sum(not one.picture for one in found.values()):
        console.print(
            f"{late} of {counted(len(found), 'image')} are fingerprinted by their content alone, not by "
            f"what they show (unreadable, or more than {SECONDS:.0f} s of work); hemf data prepare has no "
            "such limit"
        )
    return replace(data, fingerprints=found)


def check_files(path: Path, data: DataSet) -> None:
    """Refuse to go on with the run at ``path`` on other images than it began with; say if none can know.

    Raises:
        HemfError: a file holds something else, or is gone.
    """
    changed = changed_files(data)
    if changed is None:
        run_console().print(
            f"warning: {path} keeps no fingerprints of its images, so whether they are those that it began "
            "with is not checked",
            style="bold red",
        )
    if changed:
        raise HemfError(
            f"{len(changed)} of the {counted(len(data.samples), 'image')} of {path} are not those that the "
            f"run began with (first {data.root / changed[0]}); put them back as they were, or start a new "
            "run"
        )


def set_aside(path: Path, epochs: int) -> None:
    """Set the model and the evaluation of a run that goes on aside, as they are not those of its end."""
    (path / "model" / "config.json").unlink(missing_ok=True)  # now open_run says that it has not finished
    if (path / "evaluation").is_dir():
        old = path / f"evaluation-epoch-{epochs}"
        shutil.rmtree(old, ignore_errors=True)
        (path / "evaluation").rename(old)


def _decode_once(config: RunConfig, images: ImageData, console: Console, build: bool) -> RunConfig:
    """Give the batches their cache, if there is to be one; returns the options with its place in them."""
    folder = cache_folder(config)
    if folder is None:
        return config
    how = (images.data, images.spec.image_mode, folder, console, images.spec.window)
    images.cache = decoded_images(*how) if build else find_cache(*how)
    if images.cache is None:
        console.print(f"no cache of these images in {folder}; --cache-dir {folder} makes one there")
    return replace(config, cache_dir=str(folder))


def is_first_process() -> bool:
    """Return whether this is the only process of the training, or the first of several."""
    return rank_zero_only.rank == 0  # pyright: ignore[reportFunctionMemberAccess]  # Lightning sets it


def run_console() -> Console:
    """Return where the first process speaks; the others are silent."""
    return Console(quiet=not is_first_process(), markup=False, highlight=False, soft_wrap=True)


def _fit(
    trainer: Trainer,
    console: Console,
    config: RunConfig,
    images: ImageData,
    network: TrainedNetwork,
    checkpoint: Path | None,
    kind: Kind,
) -> Run:
    """Train, then write the model."""
    checkpoints = trainer.checkpoint_callback
    assert isinstance(checkpoints, Checkpoints), "build_trainer gives it no other"
    if checkpoint is None or config.probe:
        done = kind.before_epochs(console, checkpoints.run, config, images, network, trainer.num_devices)
        if done is not None:
            return done
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]  # undeclared
    callbacks.insert(0, Threads(torch.get_num_threads()))
    try:
        with quiet(), killed_workers_explained(), restored_from(checkpoint, trainer):
            trainer.fit(network, datamodule=images, ckpt_path=checkpoint, weights_only=True)
    except torch.OutOfMemoryError as error:
        raise HemfError(
            f"a batch of {counted(network.config.batch_size, 'image')} does not fit into the memory of "
            f"{trainer.strategy.root_device}; give a smaller --batch-size and more --accumulate"
        ) from error
    except ValueError as error:
        if "Expected more than 1 value per channel" not in str(error):
            raise
        raise HemfError(
            f"the batch normalisation of {config.model} cannot train on batches of one image at this "
            "--image-size; give --batch-size 2 or more"
        ) from error
    assert checkpoints.run is not None, "the first process has told it"
    if trainer.is_global_zero:
        return kind.finish(console, checkpoints.run, config, images, network)
    return Run(checkpoints.run, checkpoints.best)
