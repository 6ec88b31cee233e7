"""Loads whatever predicts: the model of a run, several as an ensemble, or an export, which needs no torch."""

from typing import TYPE_CHECKING

from hemf.config.options import TTA
from hemf.core.errors import HemfError
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
        HemfError: one cannot be loaded, an export is to speak with others, or several models do not agree
            (see ``load_ensemble``).
    """
    exports = [one.model for one in runs.members if one.is_export]
    if not exports:
        from hemf.inference.ensemble import load_ensemble

        return load_ensemble(runs, tta)
    if len(runs.members) > 1:
        raise HemfError(f"{exports[0]} is an export, which speaks alone; make the ensemble of runs")
    return open_export(exports[0], tta)
