"""``hemf train``: train a model, or resume a run where it stopped."""

import os
from pathlib import Path
from typing import Any

from hemf.config.names import check_names
from hemf.config.run_config import RunConfig, one_device, read_recipe
from hemf.config.spelling import flags
from hemf.core.errors import HemfError
from hemf.runs.consent import check_recipe
from hemf.runs.folder import Run, fold_paths
from hemf.runs.taking_up import options_to_resume
from hemf.tasks import check_task

AUTO = "auto"
"""The recipe that ``hemf.planning`` makes."""


def train(
    data: str = "",
    *,
    recipe: str = AUTO,
    resume: str | None = None,
    folds: int | None = None,
    keep_test: bool = False,
    device: str | None = None,
    trust: bool = False,
    **options: Any,
) -> Run:
    """Train a model, or resume a run.

    A run is a new folder under `out` with its options, its images and their split, its checkpoints, the
    curves, and in the end the model. A run that was stopped, by Ctrl-C, a crash or a power cut, is taken up
    with `--resume` and ends with the same weights as one that was not. With `--folds` the folder holds a run
    for each fold, and all of this goes for the whole.

    Args:
        data: prepared data set, class-folder tree, train/val/test tree or CSV file.
        recipe: auto plans by the data, this machine and --budget (30m), prints each choice with its reason,
            and writes them as a recipe into the run; else the name of a recipe of the package, such as paper,
            or the path of a YAML file. Other options override its values.
        resume: folder of a run to take up; only --epochs, --workers, --cache, --cache-dir and --devices may
            be given with it. Other devices take the same steps, and change weights only by rounding.
        folds: cross-validation: train this many runs, each tested on the images of one fold; patients or
            lesions are kept in one fold where they are known. Data prepared in folds keep theirs.
        keep_test: the data's own test images stay out of all --folds: each run is validated on the images of
            one fold, and all are tested on the same images, alone or as one ensemble.
        device: train on one device: cpu, cuda, cuda:1 ..., mps or auto; for several give --accelerator and
            --devices instead.
        trust: the recipe or the run to resume is your own, so it may also fetch weights, compile, use
            several devices, and say where to write; without it such a file is refused, as it may come from a
            stranger.
        options: any option of a run, see `hemf.RunConfig`.

    Raises:
        HemfError: options, data or model do not fit together, the loss is not finite, or the disk is full.
    """
    own = {"folds": folds, "keep_test": keep_test or None, "device": device}
    if resume is not None:
        others = own | {"data": data and os.fspath(data), "recipe": recipe}
        others = {name: value for name, value in others.items() if value not in ("", None, AUTO)}
        return _resume(Path(resume), options | others, trust)
    if device is not None and (twice := options.keys() & {"accelerator", "devices"}):
        raise HemfError(f"--device names one device; leave it out, or {flags(sorted(twice))}")
    options |= {"data": os.fspath(data)} if data else {}
    if not trust and recipe != AUTO:
        check_recipe(recipe, options)
    config = RunConfig.of("paper" if recipe == AUTO else recipe, device, **options)
    check_names(config)
    check_task(config)
    if not config.data:
        raise HemfError(
            "no data to train on; give --data, such as a prepared data set or a folder of class folders"
        )
    if not Path(config.data).exists():
        raise HemfError(
            f"no data at {config.data}; give a prepared data set, a folder of class folders or a CSV"
        )
    from hemf.core.device import check_accelerator

    check_accelerator(config.accelerator)
    if ":" in config.model:
        from hemf.weights.input import at_its_place

        config = at_its_place(config)
    if keep_test and folds is None:
        raise HemfError("--keep-test goes with --folds; a single run never trains on its test images")
    plan = ""
    if recipe == AUTO:
        from hemf.planning.plan import make_plan

        given = {*options, *({} if device is None else one_device(device))}
        planned = make_plan(config, given, folds, keep_test)
        print(*planned.lines, sep="\n", flush=True)
        config, plan = planned.config, planned.recipe
    elif config.init is not None or config.pretrained:
        from hemf.weights.input import follow

        config = follow(config, options.keys() | (read_recipe(recipe).keys() if recipe != "paper" else set()))
    if folds is not None:
        from hemf.training.cross_validation import start_folds

        return start_folds(config, folds, keep_test, plan)
    from hemf.training.trainer import start

    return start(config, plan)


def _resume(path: Path, given: dict[str, Any], trust: bool) -> Run:
    config, build_cache = options_to_resume(path, given, trust, RunConfig), trust or "cache_dir" in given
    if fold_paths(path):
        from hemf.training.cross_validation import take_up_folds

        return take_up_folds(path, config, build_cache)
    from hemf.training.trainer import take_up

    return take_up(path, config, build_cache)
