"""Brings one run of a suite to its metrics, from wherever it stands."""

import contextlib
import gc
import io
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hemf.bench.plan import PlannedRun
from hemf.core.errors import HemfError
from hemf.core.files import write_json


@dataclass(frozen=True)
class Finish:
    """Trains, counts and evaluates a run; resumes one that was killed, and leaves one that is done alone.

    Args:
        train: the verb that trains a run, or resumes it.
        evaluate: the verb that measures one.
    """

    train: Callable[..., Any]
    evaluate: Callable[..., Any]

    def __call__(self, run: PlannedRun) -> str | None:
        """Finish one run; what goes wrong is written to ``run.failure``, and is tried again next time.

        Returns:
            None, or in one line why the run failed.
        """
        try:
            with _alone(run.path):
                if not run.done:
                    _train(run, self.train)
                    _evaluate(run, self.evaluate)
        except Exception as error:
            return record_failure(run, error)
        finally:
            _free_memory()
        run.failure.unlink(missing_ok=True)
        return None


def record_failure(run: PlannedRun, error: Exception) -> str:
    """Write down why a run failed; returns it in one line."""
    line = " ".join(str(error).split()) or "no reason given"
    line = line if isinstance(error, HemfError) else f"{type(error).__name__}: {line}"
    write_json(run.failure, {"error": line, "traceback": "".join(traceback.format_exception(error))})
    return line


def _train(run: PlannedRun, train: Callable[..., Any]) -> None:
    from hemf.data.loading.cache import cache_folder
    from hemf.runs.folder import is_model

    if is_model(run.path / "model"):
        return
    if not run.path.exists():
        train(recipe="paper", **asdict(run.config))  # all options are there
        return
    cache = cache_folder(run.config)
    asked = {
        name: getattr(run.config, name) for name in ("model", "model_args", "pretrained", "init", "compile")
    }
    train(resume=str(run.path), **asked, cache_dir=None if cache is None else str(cache))


def _evaluate(run: PlannedRun, evaluate: Callable[..., Any]) -> None:
    """Count the model's cost, then measure it on the test images."""
    write_json(run.path / "cost.json", _cost(run))
    config = run.config
    with contextlib.redirect_stdout(io.StringIO()):  # a screen for each run; all of it is in the run's folder
        found = evaluate(
            str(run.path),
            batch_size=config.batch_size,
            precision=config.precision,
            workers=config.workers,
            device=config.device,
        )
    print(found)


def _cost(run: PlannedRun) -> dict[str, int]:
    """Parameters, and multiply-adds on one image by torch's flop counter, halved, and by thop's count."""
    import torch

    from hemf.bench.counting import count_operations
    from hemf.models.hub import load_model

    model, _ = load_model(run.path / "model")
    operations = count_operations(model, torch.zeros(1, *run.config.input_size))
    params = sum(parameter.numel() for parameter in model.parameters())
    return {"params": params, "macs_torch": operations.torch, "macs_thop": operations.thop}


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep two processes from the same run; the lock goes with the process that holds it, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w", encoding="utf-8") as file:
        if os.name == "posix":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HemfError(f"another process is working on {path}; wait for it, or stop it") from error
        yield


def _free_memory() -> None:
    """Give the next model the whole device."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()
