"""From a data set, a machine and a budget of time to a run's options: ``hemf train --recipe auto``."""

import math
import os
import time
from collections.abc import Collection
from dataclasses import dataclass, replace

import torch

from hemf.config.run_config import RunConfig, seconds_of
from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet
from hemf.data.load import load_data
from hemf.planning.budget import Clock, choose_training
from hemf.planning.choices import Choices
from hemf.planning.facts import look_at
from hemf.planning.rules import choose_balance, choose_input
from hemf.planning.weights import choose_weights
from hemf.training.cross_validation import in_folds

BUDGET = "30m"
"""Where none is given: one waits so long for a first result, and a CPU probes thousands of images in it."""


@dataclass(frozen=True)
class Plan:
    """What is to be trained.

    Args:
        config: the options of the run.
        recipe: the same as the YAML of a recipe, each choice with its reason.
        lines: the same for the terminal.
    """

    config: RunConfig
    recipe: str
    lines: tuple[str, ...]


def make_plan(
    config: RunConfig, given: Collection[str], folds: int | None = None, keep_test: bool = False
) -> Plan:
    """Plan a training.

    Args:
        config: the options that were given, over the defaults.
        given: their names; they stay as they are.
        folds: runs of a cross-validation, which share plan and budget.
        keep_test: as for ``in_folds``.

    Raises:
        HemfError: the data cannot be trained on, the budget is too short, or several devices are asked for.
    """
    began = time.monotonic()
    _check_one_device(config)
    choices, data = Choices(config, frozenset(given)), _resolved(config, folds, keep_test)
    if config.val_split == "val" and not data.subset("val"):
        choices.choose("validation", "the data have no images for it", val_split="none")
    if config.devices == "auto" and torch.cuda.device_count() > 1:
        choices.choose("devices", "a plan is for one", devices=1)
    facts = look_at(data, choices.config)
    budget, why = config.budget, "given"
    if budget is None and "epochs" not in given:
        budget, why = BUDGET, "the default of --budget"
    seconds = math.inf if budget is None else seconds_of(budget)
    clock = Clock(seconds, began, folds or 1, facts.fingerprints)
    pretrained = choose_weights(choices, facts)
    choose_input(choices, facts, pretrained)
    choose_balance(choices, facts)
    total = choose_training(choices, facts, pretrained, clock) * clock.runs + clock.start
    planned = time.monotonic() - began
    if budget is not None and not choices.config.probe:
        choices.config = replace(choices.config, budget=f"{max(clock.left(), 1):.0f}s")
    limit = f"budget {budget} ({why})" if budget is not None else "no budget, as --epochs is given"
    about = f"hemf's plan for {data.name}: {facts}; {facts.machine}; {limit}"
    lines = (
        f"plan for {data.name} (--recipe auto, the default; --recipe paper trains as the paper does):",
        f"  {facts}",
        f"  {facts.machine}; {limit}",
        *choices.lines(),
        f"  planned in {planned:.0f} s; the run takes about {_time(total)}; its recipe.yaml repeats it",
    )
    return Plan(choices.config, choices.recipe(about), lines)


def _check_one_device(config: RunConfig) -> None:
    several = config.num_nodes > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1
    devices = str(config.devices)
    one = devices in ("auto", "1") or (
        devices.removesuffix(",").isdecimal() and devices.endswith(",")
    )  # `1,`
    if several or not one:
        raise HemfError("--recipe auto plans for one device; give --devices 1, or another recipe for several")


def _resolved(config: RunConfig, folds: int | None, keep_test: bool) -> DataSet:
    """Return the data with train, val and test sides; of a cross-validation those of its first fold."""
    data = load_data(config.data)
    if folds is not None:
        data = in_folds(data, folds, keep_test)
        return data.for_fold(data.folds[0])
    return data if config.fold is None else data.for_fold(config.fold)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
