"""Loads whatever predicts: the model of a run, several as an ensemble, or an export, which needs no torch."""

from typing import TYPE_CHECKING

from hemf.config.options import TTA
from hemf.runs.folder import OpenRuns
from hemf.runtime import ExportedModel, open_export

if TYPE_CHECKING:
    from hemf.inference.ensemble import Ensemble
    from hemf.inference.load import TrainedModel


def load_models(runs: OpenRuns, tta: TTA | None = None) -> "TrainedModel | Ensemble | ExportedModel":
    """Load the model of a run, those of several as an ensemble, or an export.

    Args:
        runs: where they are.
        tta: test-time augmentation; None for what the calibration was fitted under.

    Raises:
        HemfError: one cannot be loaded, or several do not agree (see ``load_ensemble``).
    """
    if runs.home.is_export:
        return open_export(runs.home.model, tta)
    from hemf.inference.ensemble import load_ensemble

    return load_ensemble(runs, tta)
