"""Tasks by name: a new one is one file of this package with one registration."""

from typing import Literal

from hemf.config.run_config import RunConfig
from hemf.config.spelling import flag
from hemf.core.errors import HemfError
from hemf.core.registry import Registry
from hemf.tasks.base import Task

TASKS: Registry[Task] = Registry("task")


def check_task(config: RunConfig) -> Task:
    """Find a run's task, and check that its loss, monitored metric and MixUp go with it.

    Raises:
        HemfError: there is no such task, or an option does not go with it.
    """
    task = TASKS.find(config.task)
    if config.monitor not in task.monitored:
        raise HemfError(f"no metric {config.monitor!r} to monitor; give one of {', '.join(task.monitored)}")
    others = {loss for other in TASKS.values() for loss in other.losses or ()}
    if config.loss in others if task.losses is None else config.loss not in task.losses:
        instead = f"one of {', '.join(task.losses)}" if task.losses else "another"
        raise HemfError(f"the loss {config.loss} is not for the task {task.name}; give {instead}")
    used = [flag(name) for name in ("mixup", "cutmix", "probe", "probe_first") if getattr(config, name)]
    if used and not task.exclusive:
        raise HemfError(f"{used[0]} supposes one class an image, unlike the task {task.name}; leave it out")
    return task


def direction(config: RunConfig) -> Literal["min", "max"]:
    """Return which end of the monitored metric is the good one.

    Raises:
        HemfError: as for ``check_task``.
    """
    return check_task(config).monitored[config.monitor]
