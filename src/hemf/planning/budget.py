"""What of a training fits into a budget of time: fine-tuning or the probe alone, image size and epochs."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.planning.choices import Choices
from hemf.planning.facts import Facts
from hemf.planning.rules import can_be_probed, choose_recipe, sizes_to_try, why_no_tuning
from hemf.planning.speed import LONGEST, Speed, measure

SHARE = 0.9
"""Of the budget that is planned for; the machine may be busier later than when it was timed."""
LEAST = {True: 5, False: 10}
MOST = {True: 30, False: 100}
"""Epochs, with weights to begin from and without."""
END = 5.0  # seconds to write a model and what else ends a run


@dataclass(frozen=True)
class Clock:
    """The time that a plan has.

    Args:
        budget: seconds for all; infinite where the number of epochs was given instead.
        began: when planning began, by ``time.monotonic``.
        runs: runs that share it, those of a cross-validation.
        start: seconds that all of them together need before they train.
    """

    budget: float
    began: float
    runs: int
    start: float

    def left(self) -> float:
        """Return the seconds that are left for all."""
        return self.budget - (time.monotonic() - self.began)

    def for_a_run(self) -> float:
        """Return the seconds to plan for in each run."""
        return (SHARE * self.budget - (time.monotonic() - self.began) - self.start) / self.runs

    def for_timing(self) -> float:
        """Return the seconds to spend on timing one kind of work."""
        return min(LONGEST, self.budget / 200)


def choose_training(choices: Choices, facts: Facts, pretrained: bool, clock: Clock) -> float:
    """Choose what is trained, at which size and for how long; return the seconds of a run.

    Raises:
        HemfError: the budget is too short for anything.
    """
    probed = pretrained and can_be_probed(choices.config, len(facts.data.classes))
    if choices.config.probe:
        return _probe_alone(choices, facts, clock, "given")
    asked = choices.config.probe_first or "epochs" in choices.given
    if probed and not asked and (why := why_no_tuning(facts)):
        return _probe_alone(choices, facts, clock, why)
    judged = any(facts.val.values())
    if probed and judged:
        how = "fit the probe, train all from there, keep the better of the two on the validation images"
        choices.choose("method", how, probe_first=True)
    else:
        why = "no weights to begin from" if not pretrained else "the network has no linear head for a probe"
        why = "no validation images to judge a probe by" if probed else why
        choices.choose("method", f"{why}: all layers are trained", probe=False)
    choose_recipe(choices, facts, pretrained)
    fits, seconds = _epochs(choices, facts, pretrained, clock)
    if not fits and probed and not asked:
        choices.forget("method", "augmentation", "batch size", "optimisation")
        why = f"{counted(LEAST[True], 'epoch')} of fine-tuning take longer than the budget"
        return _probe_alone(choices, facts, clock, why)
    if not fits:
        raise _too_short(counted(LEAST[pretrained], "epoch"), choices, clock, seconds)
    return seconds


def _probe_alone(choices: Choices, facts: Facts, clock: Clock, why: str) -> float:
    choices.choose("method", why, ["probe"], probe=True, probe_first=False)
    fits, _, seconds = _largest(choices, facts, clock, True, lambda speed: _probe(speed, facts))
    if not fits:
        raise _too_short("a linear probe", choices, clock, seconds)
    return seconds


def _probe(speed: Speed, facts: Facts) -> float:
    """Return the seconds of a probe and of the calibration after it."""
    judges = sum(facts.val.values())
    return speed.probe(facts.images, judges, len(facts.data.classes)) + speed.prediction(judges) + END


def _epochs(choices: Choices, facts: Facts, pretrained: bool, clock: Clock) -> tuple[bool, float]:
    """Choose image size and epochs; return whether enough of them fit, and the seconds of a run."""
    judges, first = sum(facts.val.values()), choices.config.probe_first
    given = choices.config.epochs if "epochs" in choices.given else None
    least, most = given or LEAST[pretrained], given or MOST[pretrained]

    def fixed(speed: Speed) -> float:
        return (_probe(speed, facts) if first else END) + (1 + 2 * first) * speed.prediction(judges)

    def cost(speed: Speed) -> float:
        return fixed(speed) + least * speed.epoch(facts.images, judges)

    fits, speed, seconds = _largest(choices, facts, clock, pretrained, cost)
    if not fits:
        return False, seconds
    epoch, before = speed.epoch(facts.images, judges), fixed(speed)
    left = clock.for_a_run() - before
    epochs = most if math.isinf(left) else max(least, min(most, int(left / epoch)))
    why = "as many as help, as a rule" if epochs == most else "as many as the budget allows"
    choices.choose("epochs", f"{why}; one takes {epoch:.1f} s here", epochs=epochs)
    return True, before + epochs * epoch


def _largest(
    choices: Choices, facts: Facts, clock: Clock, pretrained: bool, cost: Callable[[Speed], float]
) -> tuple[bool, Speed, float]:
    """Choose the largest image size of which ``cost`` fits, else the smallest; return its speed and cost."""
    wanted, *smaller = sizes_to_try(choices, pretrained)
    while True:
        speed = measure(choices.config, facts.data, clock.for_timing())
        seconds = cost(speed)
        fits = seconds <= clock.for_a_run() or "epochs" in choices.given
        if fits or not smaller:
            return fits, speed, seconds
        choices.choose("image size", f"{wanted} takes longer than the budget", image_size=smaller.pop(0))


def _too_short(what: str, choices: Choices, clock: Clock, seconds: float) -> HemfError:
    """Return the error that names the time which the least training takes."""
    used = time.monotonic() - clock.began + clock.start
    least = math.ceil((used + seconds * clock.runs) / SHARE / 60)
    return HemfError(
        f"the budget of {clock.budget:.0f} s is too short: {what} of {choices.config.model} at "
        f"{choices.config.image_size} pixels and what goes with them take longer; give --budget {least}m"
    )
