"""``hemf bench``: a matrix of models, data, folds and seeds on one protocol, and the table of its results."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hemf.core.errors import HemfError
from hemf.core.text import counted

if TYPE_CHECKING:
    from hemf.bench.execute import Finish
    from hemf.bench.plan import PlannedRun
    from hemf.bench.suite import Suite


def bench(
    suite: str,
    *,
    only: str | None = None,
    seeds: str | None = None,
    folds: str | None = None,
    root: str = "prepared",
    out: str = "bench",
    cluster: Literal["slurm", "local", "debug"] | None = None,
    cluster_args: dict[str, Any] | None = None,
    device: str | None = None,
    trust: bool = False,
    **options: Any,
) -> int:
    """Train and measure a matrix of models on one protocol, and put them in one table.

    A suite is a YAML file, or one of the package: paper-isic2018, paper-kvasir, paper-covid-ct,
    paper-ablation, smoke. The same command again skips the runs that are done, resumes one that was killed,
    and tries again those that failed. After every run OUT/SUITE holds results.json and the table as table.md,
    table.tex and table.csv.

    Args:
        suite: name of a suite of the package, or path of a YAML file.
        only: names of the rows to run, such as hemf_base,came; the table has all rows that were ever run.
        seeds: seeds instead of the suite's, such as 0,1,2.
        folds: folds instead of the suite's, such as 0,1.
        root: folder of the prepared data sets; --data gives the place of a suite's only one.
        out: folder that holds the suites' folders.
        cluster: send the runs as jobs to slurm, or start them as processes here (local), by the extra
            hemf[cluster]; debug runs such jobs in this process.
        cluster_args: parameters of submitit's executor, such as {timeout_min: 600, gpus_per_node: 1}.
        device: train on this device: cpu, cuda, cuda:1 ..., mps or auto.
        trust: the suite's file is your own, so it may also fetch weights, compile, and say where to write;
            without it such a file is refused, as it may come from a stranger.
        options: options of every run, over those of the suite, see `hemf train --help`.

    Returns:
        0, or 1 where a run failed.

    Raises:
        HemfError: bad suite or options, data are missing, or runs that are there were made otherwise.
    """
    from hemf.bench.plan import plan
    from hemf.bench.suite import SUITES, chosen_rows, read_suite
    from hemf.core.outputs import beside, check_output, check_report, is_report

    if cluster_args and not cluster:
        raise HemfError("--cluster-args goes with --cluster; give that too, such as --cluster slurm")
    read, name = read_suite(suite, trust), SUITES.path(suite).stem
    read = replace(
        read,
        seeds=_whole_numbers("seeds", seeds) or read.seeds,
        folds=_whole_numbers("folds", folds) or read.folds,
    )
    read.check()
    options |= {} if device is None else {"device": device}
    rows, folder = chosen_rows(read, _words(only)), Path(out) / name
    check_report(folder / "results.json", ["suite", "rows"], [])
    for table in ("table.md", "table.tex", "table.csv"):
        check_output(folder / table, beside(folder / "results.json", is_report("suite", "rows")))
    runs = plan(read, folder, Path(root), options)
    chosen = [run for run in runs if run.row in rows]
    failed = _run_all(read, name, runs, chosen, folder, cluster, cluster_args or {})
    return _conclude(read, name, runs, folder, failed)


def _run_all(
    suite: "Suite",
    name: str,
    runs: Sequence["PlannedRun"],
    chosen: Sequence["PlannedRun"],
    folder: Path,
    cluster: Literal["slurm", "local", "debug"] | None,
    parameters: dict[str, Any],
) -> int:
    """Run what is not done, with the table written anew after each; returns how many runs failed."""
    from hemf.bench.execute import Finish
    from hemf.bench.results import write
    from hemf.commands.evaluate import evaluate
    from hemf.commands.train import train

    finish = Finish(train, evaluate)
    todo = [run for run in chosen if not run.done]
    print(
        f"suite {name}: {counted(len(chosen), 'run')}, {len(chosen) - len(todo)} done already; results in "
        f"{folder}"
    )
    if cluster and todo:
        from hemf.bench.cluster import finish_on

        results = finish_on(cluster, finish, todo, folder / "jobs", parameters)
    else:
        results = _one_after_another(finish, todo)
    failed = 0
    for run, error in results:
        if error is not None:
            failed += 1
            print(f"{run} failed: {error}")
        write(suite, name, runs, folder)
    return failed


def _one_after_another(
    finish: "Finish", runs: Sequence["PlannedRun"]
) -> Iterator[tuple["PlannedRun", str | None]]:
    for number, run in enumerate(runs, start=1):
        print(f"\n[{number}/{len(runs)}] {run}", flush=True)
        yield run, finish(run)


def _conclude(suite: "Suite", name: str, runs: Sequence["PlannedRun"], folder: Path, failed: int) -> int:
    """Show the table, and how to try again what failed."""
    from hemf.bench.results import table, write

    entries = write(suite, name, runs, folder)
    print()
    table(suite, entries).show()
    print(", ".join(str(folder / file) for file in ("results.json", "table.md", "table.tex", "table.csv")))
    if failed:
        print(
            f"failed: {failed} of {counted(len(runs), 'run')}; the same command tries them again, and skips "
            "what is done"
        )
    return 1 if failed else 0


def _words(value: str | None) -> list[str]:
    """Return the words between commas, which may stand in brackets."""
    return [word.strip() for word in (value or "").strip("[]()").split(",") if word.strip()]


def _whole_numbers(name: str, value: str | None) -> list[int]:
    """Return the numbers between commas.

    Raises:
        HemfError: there is something else.
    """
    try:
        return [int(word) for word in _words(value)]
    except ValueError as error:
        raise HemfError(f"--{name} is {value}; give whole numbers, such as 0,1,2") from error
