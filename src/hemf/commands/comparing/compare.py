"""``hemf compare``: which of several runs is better on the same images, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.core.errors import HemfError
from hemf.core.files import write_json, write_text
from hemf.core.outputs import check_report
from hemf.core.registry import suggestion
from hemf.core.text import counted, patients, printable
from hemf.core.untrusted import read_json

if TYPE_CHECKING:
    from hemf.inference.predictions import Predictions

METRICS = "accuracy,balanced_accuracy,f1_macro,roc_auc_macro"


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found.

    Args:
        models: each model's ``name`` and ``metrics``, as in its ``metrics.json``.
        pairs: each pair's ``first`` and ``second``, and what the ``bootstrap``, ``mcnemar`` and ``delong``
            tests say of their difference, with ``p`` and ``p_holm``; with a margin, each measure of the
            bootstrap has ``first_not_worse``, ``second_not_worse`` and ``equivalent`` with the same two.
        report: all of it, as the JSON file has it.
    """

    models: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    report: dict[str, Any]


def compare(
    runs: list[str],
    split: str = "test",
    metric: str = METRICS,
    margin: float | None = None,
    out: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare runs that were evaluated on the same images.

    For each pair: a paired bootstrap of every metric; McNemar's test of accuracy; DeLong's test of ROC AUC,
    for each class and for their mean; all of them by patient or lesion where these are known. p-values are
    also given by Holm's correction over the pairs. Nothing is evaluated here: `hemf evaluate RUN` comes
    first.

    Args:
        runs: folders of two or more runs or cross-validations. Several with commas between them are seeds of
            one protocol, and count as one model: its measures are the means of theirs, and their spread is
            part of the error of every difference.
        split: name of the evaluation's folder: train, val, test, all, or NAME-SPLIT for another data set
            (NAME-SPLIT-HASH where several are called so).
        metric: measures of the split to compare, with commas between them.
        margin: the difference in these measures that would not matter, such as 0.02: test too whether one
            model is not worse than the other by so much, and whether they are equivalent.
        out: JSON file to write; the tables go beside it as Markdown (.md) and LaTeX (.tex), and as a page
            (.html).
        resamples: number of resamples of the bootstrap.
        seed: seed of the resamples.

    Raises:
        HemfError: a run has no such evaluation, or the runs were tested on different images or labels.
    """
    from hemf.metrics import MEASURES
    from hemf.metrics.bootstrap import Draws
    from hemf.report.comparison import tables, write_comparison
    from hemf.tasks import MULTICLASS

    draws = Draws(resamples, seed)
    if out is not None and Path(out).suffix != ".json":
        raise HemfError(f"{out} does not end in .json; give a name that does, such as comparison.json")
    if out is not None:
        check_report(Path(out), ["runs", "pairs"], [".md", ".tex", ".html"])
    models = [[one] if Path(one).is_dir() else [run for run in one.split(",") if run] for one in runs]
    every = [run for seeds in models for run in seeds]
    if len(models) < 2 or len(set(every)) < len(every) or not all(models):
        raise HemfError("give two or more different runs to compare")
    reports, predictions = zip(*(read_evaluation(run, split) for run in every), strict=True)
    metrics = _metrics(metric, reports[0])
    task = reports[0].get("task", MULTICLASS.name)
    if (test := MEASURES.find(task).compare) is None:
        raise HemfError(f"there is no test that compares models of the task {task}")
    same = iter(aligned(every, predictions))
    of_models = [[next(same) for _ in seeds] for seeds in models]
    found = test(_names(models), of_models, metrics, draws, margin)
    report = {
        "split": split,
        "data": reports[0]["data"]["name"],
        "runs": list(runs),
        **found,
        "notes": _notes(every, reports, found),
    }
    shown = tables(report)
    for table in shown:
        table.show()
    if out is not None:
        path = Path(out)
        write_json(path, report)
        write_text(path.with_suffix(".md"), "\n".join(table.markdown() for table in shown))
        write_text(path.with_suffix(".tex"), "\n".join(table.latex() for table in shown))
        write_comparison(path.with_suffix(".html"), report)
        print(", ".join(str(path.with_suffix(suffix)) for suffix in (path.suffix, ".md", ".tex", ".html")))
    return Comparison(report["models"], report["pairs"], report)


def read_evaluation(run: str, split: str) -> tuple[dict[str, Any], "Predictions"]:
    """Read a run's evaluation: what metrics.json holds, and the predictions."""
    from hemf.evaluation.folders import find_evaluation
    from hemf.inference.predictions import read_predictions

    if not Path(run).is_dir():
        raise HemfError(f"no run at {run}; give the folder that hemf train has made")
    folder = find_evaluation(Path(run), split)
    report = read_json(folder / "metrics.json", "evaluate again")
    return report, read_predictions(folder / "predictions.csv")


def _names(models: Sequence[Sequence[str]]) -> list[str]:
    """Return the folders' names where they tell the models apart, else their whole paths."""
    of_runs = [[Path(run).resolve().name for run in seeds] for seeds in models]
    names = [", ".join(seeds) for seeds in of_runs]
    return names if len(set(names)) == len(names) else [", ".join(seeds) for seeds in models]


def _metrics(words: str, report: dict[str, Any]) -> list[str]:
    """Return the measures between commas."""
    names = list(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    for name in names:
        if name not in report["metrics"]:
            raise HemfError(f"no metric {name!r}; {suggestion(name, report['metrics'])}")
    if not names:
        raise HemfError(f"no metric to compare; give some of {', '.join(report['metrics'])}")
    return names


def aligned(runs: Sequence[str], predictions: Sequence["Predictions"]) -> list["Predictions"]:
    """Return the predictions of all runs in the first one's order of images and classes, with its groups.

    Raises:
        HemfError: images, classes, labels or groups differ.
    """
    return [predictions[0]] + [
        _as_first(runs[0], predictions[0], run, one)
        for run, one in zip(runs[1:], predictions[1:], strict=True)
    ]


def _as_first(name: str, first: "Predictions", run: str, other: "Predictions") -> "Predictions":
    for (a, one), (b, two) in (((name, first), (run, other)), ((run, other), (name, first))):
        if missing := sorted(set(two.paths) - set(one.paths)):
            more = "" if len(missing) == 1 else f" and {len(missing) - 1} more"
            raise HemfError(
                f"{b} was tested on {printable(missing[0])}{more}, and {a} was not; only runs that were "
                "tested on the same images can be compared"
            )
    if set(first.classes) != set(other.classes):
        odd = sorted(set(first.classes) ^ set(other.classes))[0]
        raise HemfError(
            f"only one of {name} and {run} knows the class {printable(odd)}; compare like with like"
        )
    rows = {path: row for row, path in enumerate(other.paths)}
    order = [rows[path] for path in first.paths]
    columns = [other.classes.index(c) for c in first.classes]
    of_first = [first.classes[k] for k in first.labels]
    of_other = [other.classes[other.labels[row]] for row in order]
    groups = [other.groups[row] for row in order]
    for what, ours, theirs in (("label", of_first, of_other), ("group", first.groups, groups)):
        if differ := [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]:
            i = differ[0]
            raise HemfError(
                f"the {what} of {counted(len(differ), 'image')} differs, first {printable(first.paths[i])}: "
                f"{printable(ours[i]) or 'none'} in {name}, {printable(theirs[i]) or 'none'} in {run}; "
                "evaluate both on the same data"
            )
    return replace(first, probabilities=other.probabilities[order][:, columns])


def _notes(runs: Sequence[str], reports: Sequence[dict[str, Any]], found: dict[str, Any]) -> list[str]:
    """Say what the numbers suppose, and what makes those of a run too good."""
    intervals = found["intervals"]
    drawn = patients(intervals["groups"]) if intervals["unit"] == "group" else "images"
    notes = [
        "Differences: the first model less the second. Intervals and p of the measures: paired bootstrap, "
        f"{intervals['resamples']} resamples of {drawn}, stratified by class; they speak of more of the kind "
        "in this mix of classes.",
        *_split_notes(reports[0]),
        "Holm's correction goes over the pairs of models, for each test by itself.",
    ]
    if several := [one["name"] for one in found["models"] if _seeds(one) > 1]:
        notes.append(
            f"{' and '.join(several)}: seeds of one protocol each; what another choice of seeds would change "
            "is in the intervals and p of the measures. McNemar's and DeLong's tests are of single runs."
        )
    if found["margin"] is not None:
        notes.append(
            f'Within a margin of {found["margin"]:g}: "not worse" needs p < 0.025 (one-sided), "equivalent" '
            "p < 0.05 (two one-sided tests), by Holm's correction."
        )
    if intervals["unit"] == "group":
        notes.append(
            f"McNemar's and DeLong's tests are those for several images of a patient: {drawn} in these "
            f"{counted(found['n'], 'image')}."
        )
    for run, report in zip(runs, reports, strict=True):
        if "folds" in report:
            notes.append(f"{run} is a cross-validation: each image is scored by the model that left it out.")
        if report.get("images_trained_on"):
            notes.append(f"Warning: {run} was trained on {report['images_trained_on']} of these images.")
        if report.get("stale"):
            notes.append(f"Warning: {run} was calibrated anew after this evaluation; evaluate it again.")
        if report.get("chose_checkpoint"):
            notes.append(f"Warning: these images chose the checkpoint of {run}, so its numbers are too good.")
    return notes


def _seeds(model: dict[str, Any]) -> int:
    return next(iter(model["metrics"].values())).get("seeds", 1)


def _split_notes(report: dict[str, Any]) -> list[str]:
    """Say how the split was made, and whether it leaks."""
    groups, images = report.get("groups_on_two_sides"), report.get("images_of_those_groups")
    notes = [f"Split method: {report.get('split_method') or 'unknown'}."]
    if groups:
        share = f"{images} of these {counted(report['n'], 'image')}"
        notes.append(f"Warning: {share} show patients or lesions ({groups}) that are on another side too.")
    elif groups == 0:
        notes.append("No patient or lesion is on two sides of the split.")
    else:
        notes.append("Whether a patient or lesion is on two sides of the split is unknown.")
    return notes
