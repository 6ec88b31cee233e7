"""Learning from a stronger network, the teacher: by its logits, or by its feature maps."""

from hemf.training.distillation.distillation import Distillation
from hemf.training.distillation.maps import MapDistance, maps_of
from hemf.training.distillation.teacher import Teacher, find_teacher, shown_to

__all__ = ["Distillation", "MapDistance", "Teacher", "find_teacher", "maps_of", "shown_to"]
