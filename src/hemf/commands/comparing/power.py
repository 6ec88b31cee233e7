"""``hemf power``: how many patients the next test needs, from what a run says of these."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from hemf.metrics.comparison.power import Study


@dataclass(frozen=True)
class Plan:
    """What ``power`` found.

    Args:
        needed: the smallest study that reaches what was asked.
        studies: that one and others around it, the smallest first.
    """

    needed: "Study"
    studies: "list[Study]"


def power(
    run: str,
    against: str | None = None,
    metric: str = "roc_auc_macro",
    width: float | None = None,
    reach: float = 0.8,
    difference: float | None = None,
    split: str = "test",
    resamples: int = 1000,
    seed: int = 0,
) -> Plan:
    """Say how many patients a test needs, by simulation from evaluated runs.

    Studies are drawn from the patients or lesions (images where none are known) of an evaluation, with all
    their images and in its mix of classes. Of one run, the size is for an interval of a given width; of two,
    for a chance to find their difference. A pilot of few patients tells little, and too large a difference in
    it makes the plan too small.

    Args:
        run: folder of an evaluated run.
        against: folder of another, evaluated on the same images: plan to tell the two apart.
        metric: measure of the split.
        width: width that the 95% interval of the measure, or of the difference, is to have.
        reach: power, that is, chance to find the difference at 5%; for two runs without --width.
        difference: difference to plan for; by default the one between the runs on these images.
        split: name of the evaluation's folder, as for hemf compare.
        resamples: studies to simulate of each size.
        seed: seed of the simulation.

    Raises:
        HemfError: no such evaluation, measure or share, or a pilot of fewer than ten patients.
    """
    from hemf.commands.comparing.compare import aligned, read_evaluation
    from hemf.core.tables import Column, Table
    from hemf.metrics.bootstrap import Draws
    from hemf.metrics.comparison.power import Pilot

    runs = [run] if against is None else [run, against]
    if width is None and against is None:
        raise HemfError("give --width for one run, or --against with another to plan a comparison")
    if (width is not None and not width > 0) or not 0 < reach < 1 or resamples < 100:
        raise HemfError("a width is above 0, a power between 0 and 1, and resamples are 100 or more")
    reports, predictions = zip(*(read_evaluation(one, split) for one in runs), strict=True)
    if metric not in reports[0]["metrics"]:
        raise HemfError(f"no metric {metric!r}; give one of {', '.join(reports[0]['metrics'])}")
    pilot = Pilot(aligned(runs, predictions), metric, Draws(resamples, seed), difference)
    needed = pilot.smallest(
        lambda study: study.width <= width if width is not None else (study.power or 0) >= reach
    )
    sizes = sorted({max(2, needed.units // 4), needed.units // 2, pilot.units.count, 2 * needed.units})
    studies = sorted([needed, *map(pilot.study, sizes)], key=lambda study: study.units)
    what = metric if against is None else f"{metric}, {run} less {against}"
    kind = "patients or lesions" if pilot.units.grouped else "images"
    columns = [
        Column("units", kind),
        Column("images", "images"),
        Column("width", "width of the interval", ".3f"),
    ]
    columns += [] if against is None else [Column("power", "power", ".2f")]
    rows = [vars(study) | {"bold": study is needed} for study in studies]
    notes = [
        f"The pilot has {pilot.units.words} and {pilot.value:+.3f}; {needed.units:,} {kind} are needed. "
        f"{resamples} studies of each size were drawn from it."
    ]
    Table(f"Planned from {what}", columns, rows, notes, bold="bold").show()
    return Plan(needed, studies)
