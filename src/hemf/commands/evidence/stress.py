"""``hemf stress``: how far a run's accuracy holds as images get worse."""

from typing import TYPE_CHECKING, Literal

from hemf.config.options import TTA
from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from hemf.shift.stress import Stress


def stress(
    run: str,
    split: str = "test",
    data: str | None = None,
    corruptions: list[str] | None = None,
    limit: int | None = 200,
    tta: TTA | None = None,
    batch_size: int = 32,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    workers: int | None = None,
    device: str = "auto",
    resamples: int = 2000,
    seed: int = 0,
) -> "Stress":
    """Measure how a run's accuracy falls as images get worse.

    Blur, motion, noise, speckle, dead pixels, JPEG, exposure, contrast, colour cast, rotation, crop, border,
    resolution, and what is put into images (ruler, letters, black corners), each in five steps. Prints what
    breaks first: the step at which accuracy falls by more than chance, corrected for their number; and writes
    stress.json, stress.html and the curves with 95% intervals (stress.svg) into evaluation/SPLIT of the run.
    Where the model keeps an out-of-distribution score, the share that it warns of stands beside.

    Args:
        run: a run's folder, its model folder (which then needs --data), an export, or for an ensemble a
            cross-validation's folder or several runs with commas between.
        split: images to measure on: train, val, test, or all.
        data: another data set of the same classes; by default the run's own, split as the run was.
        corruptions: names of some; by default all.
        limit: at most this many images, drawn at random; null for all. Every image goes through the model
            once for each step.
        tta: views of each image that probabilities are averaged over: flip, flips, dihedral, or none; by
            default those that the calibration was fitted under.
        batch_size: images that go through the model at once.
        precision: format of the numbers: auto takes bf16 or fp16 autocast where the hardware is fast at it,
            else fp32.
        workers: processes that read images; by default one a core, at most 8.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.
        resamples: bootstrap resamples, of patients or lesions where they are known.
        seed: seed of the images drawn, the corruptions and the resamples.

    Returns:
        What was measured.

    Raises:
        HemfError: no such run, split, images or corruption, or an unreadable image.
    """
    from dataclasses import replace

    from rich.console import Console

    from hemf.data.splits import few_of
    from hemf.evaluation.samples import subject_of
    from hemf.inference.stream import InferenceOptions
    from hemf.metrics.bootstrap import Draws
    from hemf.shift.corruptions import CORRUPTIONS
    from hemf.shift.stress import stress as measured
    from hemf.shift.stress_page import order_table, write_stress

    if resamples < 100 or (limit is not None and limit < 1):
        raise HemfError("--resamples must be at least 100 and --limit at least 1; correct them")
    options, draws = InferenceOptions(batch_size, workers, precision, device, tta), Draws(resamples, seed)
    subject = subject_of(run, split, data, None, tta)
    if limit is not None:
        subject = replace(subject, samples=few_of(subject.samples, limit, seed))
    names = list(CORRUPTIONS) if corruptions is None else corruptions
    for name in names:
        CORRUPTIONS.find(name)
    say = lambda name, step, value: print(f"{name}, step {step}: accuracy {value:.3f}")  # noqa: E731
    found = measured(run, subject, names, options, draws, say)
    page = write_stress(found, subject.folder)
    Console(soft_wrap=True).print(order_table(found))
    print(page)
    return found
