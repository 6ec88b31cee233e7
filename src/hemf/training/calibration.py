"""Calibrates a model on its run's validation images when its training ends."""

from torch import nn

from hemf.calibration.fit import CALIBRATIONS, describe
from hemf.calibration.record import Calibration
from hemf.config.run_config import RunConfig
from hemf.core.precision import Precision
from hemf.data.dataset import DataSet
from hemf.data.transforms import InputSpec
from hemf.inference.load import TrainedModel
from hemf.inference.stream import InferenceOptions, predict_samples
from hemf.tasks import TASKS


def calibrate_on_validation(
    config: RunConfig, data: DataSet, model: nn.Module, precision: Precision, device: str
) -> Calibration | None:
    """Calibrate a run's model on its validation images, with the default settings.

    Args:
        config: the run's options.
        data: its images, with their split.
        model: the network; it is moved to ``device``.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        device: where to compute.

    Returns:
        None where there are no validation images, or the task knows no calibration.
    """
    samples = data.subset("val")
    if not samples or config.task not in CALIBRATIONS:
        return None
    spec, task = InputSpec.from_config(config), TASKS.find(config.task)
    trained = TrainedModel(model, data.classes, spec, config.model, task=task)
    options = InferenceOptions(config.batch_size, config.workers, precision, device)
    found = predict_samples(trained, data, samples, options, "calibrating")
    about = describe(data, samples, "val", chose_checkpoint=config.val_split == "val")
    fit = CALIBRATIONS.find(task.name)
    return fit(found.logits, found.labels, found.classes, about, groups=found.groups)
