"""What a model is asked about an image: importing this package registers every task."""

from hemf.tasks.base import Task
from hemf.tasks.multiclass import MULTICLASS
from hemf.tasks.registry import TASKS, check_task, direction

__all__ = ["MULTICLASS", "TASKS", "Task", "check_task", "direction"]
