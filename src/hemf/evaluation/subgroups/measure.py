"""Measures each subgroup of the images, and how the subgroups differ."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from hemf.calibration.record import Calibration
from hemf.core.errors import HemfError
from hemf.data.metadata.column import Kind
from hemf.evaluation.subgroups.differences import (
    OF_SAME_CLASSES,
    OVERCONFIDENCE,
    SENSITIVITY,
    WHOLE,
    Part,
    Values,
    corrected,
    differences,
    values_of,
)
from hemf.evaluation.subgroups.partition import Cut, Subgroup, subgroups_of
from hemf.evaluation.subgroups.record import Difference, Group, Measure, Subgroups, Worst
from hemf.inference.predictions import Predictions
from hemf.metrics import MEASURES
from hemf.metrics.bootstrap import Draws, Units, units_of
from hemf.metrics.classification import measure
from hemf.metrics.intervals import with_interval
from hemf.tasks import MULTICLASS

SMALLEST = 10
FEW = 30
"""Units below which a subgroup is marked as rough."""
SHOWN = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_macro")
CONFIDENCE = ("ece", "brier", "log_loss")


def measure_subgroups(
    found: Predictions,
    own: Calibration,
    cuts: Sequence[Cut],
    kinds: Mapping[str, Kind],
    draws: Draws,
    smallest: int = SMALLEST,
) -> Subgroups:
    """Measure the subgroups of each column.

    A subgroup of fewer than ``smallest`` units (patients or lesions, or images where none are known) is
    counted but not measured: its figures would say little, and might tell on few people.

    Args:
        found: predictions of all images, with their metadata.
        own: the model's calibration.
        cuts: columns to go by.
        kinds: what columns hold, where that is settled.
        draws: the bootstrap's.
        smallest: see above.

    Raises:
        HemfError: another task than multiclass, or a column cannot be divided.
    """
    if found.task is not MULTICLASS:
        raise HemfError(
            f"--by measures models that name one of several classes, not the task {found.task.name}"
        )
    units = units_of(found.labels, found.groups)
    parts = [
        one for cut in cuts for one in subgroups_of(cut, found.metadata[cut.column], kinds.get(cut.column))
    ]
    shown = [one for one in parts if units.among(one.images) >= smallest]
    here = values_of([Part(found, own, one.images) for one in shown], units, draws)
    groups, of_part = [], iter(here)
    for one in parts:
        values = next(of_part) if one in shown else None
        groups.append(_group(one, values, found, own, units, draws))
    return Subgroups(
        by=tuple(cut.column for cut in cuts),
        smallest=smallest,
        unit="group" if units.grouped else "image",
        resamples=draws.resamples,
        groups=tuple(groups),
        from_rest=_from_rest(shown, here, found, own, units, draws),
        between=_between(shown, here),
        worst=_worst(groups),
    )


def _group(
    part: Subgroup, values: Values | None, found: Predictions, own: Calibration, units: Units, draws: Draws
) -> Group:
    """Return a subgroup, with its measures unless ``values`` is None as there are too few units."""
    counts = np.bincount(found.labels[part.images], minlength=len(found.classes)).tolist()
    in_units = units.among(part.images)
    measures = {} if values is None else _measures(part, values, found, own, draws)
    return Group(
        column=part.column,
        value=part.value,
        n=int(part.images.sum()),
        units=in_units,
        classes={name: n for name, n in zip(found.classes, counts, strict=True) if n},
        measures=measures,
        few=in_units < FEW,
    )


def _measures(
    part: Subgroup, values: Values, found: Predictions, own: Calibration, draws: Draws
) -> dict[str, Measure]:
    """Return the measures of a subgroup by the rules of a whole split, each with its interval."""
    here, of_task = found.chosen(part.images), MEASURES.find(found.task.name)
    report = of_task.with_intervals(of_task.measure(here, own), here, own, draws)
    every = np.ones(len(here.labels), dtype=bool)
    over = measure(values.estimates[OVERCONFIDENCE], len(every))
    if values.drawn:
        over = with_interval(over, values.drawn[OVERCONFIDENCE], units_of(here.labels, here.groups), every)
    return (
        {name: report["metrics"][name] for name in SHOWN}
        | {
            SENSITIVITY + name: of_class["recall"]
            for name, of_class in report["per_class"].items()
            if not of_class["absent"]
        }
        | {name: report["calibration"][name] for name in CONFIDENCE}
        | {OVERCONFIDENCE: over}
        | ({"coverage": report["conformal"]["coverage"]} if "conformal" in report else {})
    )


def _from_rest(
    shown: Sequence[Subgroup],
    here: Sequence[Values],
    found: Predictions,
    own: Calibration,
    units: Units,
    draws: Draws,
) -> tuple[Difference, ...]:
    """Return how each subgroup differs from all other images, corrected over all subgroups."""
    pairs = [(one, values) for one, values in zip(shown, here, strict=True) if not one.images.all()]
    rests = values_of([Part(found, own, ~one.images) for one, _ in pairs], units, draws)
    return corrected(
        [
            difference
            for (one, values), rest in zip(pairs, rests, strict=True)
            for difference in differences(one.column, one.value, None, values, rest, list(values.estimates))
        ]
    )


def _between(shown: Sequence[Subgroup], here: Sequence[Values]) -> tuple[Difference, ...]:
    """Return how any two subgroups of a column differ, corrected over the pairs of the column."""
    found: list[Difference] = []
    for column in dict.fromkeys(one.column for one in shown):
        of_column = [pair for pair in zip(shown, here, strict=True) if pair[0].column == column]
        pairs = combinations(of_column, 2)
        found += corrected(
            [
                difference
                for (one, of_one), (other, of_other) in pairs
                for difference in differences(column, one.value, other.value, of_one, of_other, WHOLE)
            ]
        )
    return tuple(found)


def _worst(groups: Sequence[Group]) -> tuple[Worst, ...]:
    """Return the lowest of each column and measure, among groups that are not few.

    Averages over the classes are compared only among groups that have all of them.
    """
    every = {name for group in groups for name in group.classes}
    found = []
    for column in dict.fromkeys(group.column for group in groups):
        for name in SHOWN:
            values = {
                group.value: group.measures[name]["value"]
                for group in groups
                if group.column == column
                and group.measures
                and not group.few
                and group.measures[name]["value"] is not None
                and (name not in OF_SAME_CLASSES or group.classes.keys() == every)
            }
            if len(values) > 1:
                lowest = min(values, key=lambda value: values[value])
                mean = float(np.mean(list(values.values())))
                found.append(Worst(column, name, lowest, values[lowest], mean, len(values)))
    return tuple(found)
