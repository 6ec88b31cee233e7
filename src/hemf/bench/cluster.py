"""The runs of a suite as jobs of a cluster, by submitit (the extra ``hemf[cluster]``).

submitit and not Ray: the runs share nothing but a file system, which is what SLURM, the scheduler of most
university and hospital clusters, offers; a Ray cluster would have to be started on top of it first. submitit
also requeues a job that runs out of time or is preempted, and such a run resumes. It can start each run in a
process of its own on this machine (``local``), which a model that dies of memory does not take along.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hemf.bench.execute import Finish, record_failure
from hemf.bench.plan import PlannedRun
from hemf.core.errors import HemfError
from hemf.core.text import counted, one_line

Cluster = Literal["slurm", "local", "debug"]


@dataclass(frozen=True)
class Job:
    """What a job does; a job that is cut short is queued again, and takes its run up."""

    finish: Finish

    def __call__(self, run: PlannedRun) -> str | None:
        return self.finish(run)

    def checkpoint(self, run: PlannedRun) -> Any:
        """Called by submitit when the job's time is up; what to queue next."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, run)


def finish_on(
    cluster: Cluster, finish: Finish, runs: Sequence[PlannedRun], folder: Path, parameters: dict[str, Any]
) -> Iterator[tuple[PlannedRun, str | None]]:
    """Send all runs to a cluster and yield each with why it failed, or None, in their order.

    When the iteration is stopped, as by Ctrl-C, the jobs that have not ended are cancelled.

    Args:
        cluster: ``slurm``, ``local`` (processes of this machine, all at once) or ``debug`` (this process).
        finish: what a job does with its run.
        runs: what to run.
        folder: where submitit keeps scripts, logs and results of the jobs.
        parameters: of submitit's executor, such as ``timeout_min``, ``gpus_per_node`` or ``slurm_partition``.

    Raises:
        HemfError: submitit is not installed, or cannot submit there.
    """
    executor = _executor(cluster, folder, parameters)
    try:
        jobs = executor.map_array(Job(finish), runs)
    except Exception as error:  # whatever the scheduler says
        raise HemfError(f"{cluster} takes no jobs: {one_line(error)}; change --cluster-args") from error
    print(f"{counted(len(jobs), 'job')} on {cluster}; their logs are in {folder}")
    try:
        for run, job in zip(runs, jobs, strict=True):
            try:
                yield run, job.result()
            except Exception as error:  # the job died outside our code
                yield run, record_failure(run, HemfError(f"job {job.job_id} died: {one_line(error)}"))
    finally:
        for job in jobs:
            if not job.done():
                job.cancel(check=False)


def _executor(cluster: Cluster, folder: Path, parameters: dict[str, Any]) -> Any:
    try:
        import submitit
    except ImportError as error:
        raise HemfError("--cluster needs submitit; install it with: pip install 'hemf[cluster]'") from error
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(**{"name": "hemf-bench", "timeout_min": 24 * 60} | parameters)
    except (RuntimeError, TypeError, NameError, ValueError, AssertionError) as error:
        raise HemfError(
            f"submitit cannot use {cluster} so: {one_line(error)}; change --cluster-args"
        ) from error
    return executor
