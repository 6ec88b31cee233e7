"""Runs jobs of ``watch.py`` in processes of their own, which may hang, die or grow."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIMIT = 20.0
"""Seconds that one job may take."""
START = 240.0
"""Seconds that a process may take for its imports, on a busy machine."""


def run_jobs(jobs: list[dict[str, Any]], limit: float = LIMIT) -> list[dict[str, Any]]:
    """What became of each job, in their order; a job that hangs or takes its process along says so.

    Args:
        jobs: as ``watch.py`` takes them.
        limit: seconds that one may take.
    """
    found: list[dict[str, Any]] = []
    while len(found) < len(jobs):
        found += _run_some(jobs[len(found) :], limit)
    return found


def _run_some(jobs: list[dict[str, Any]], limit: float) -> list[dict[str, Any]]:
    """The jobs up to the first that has to be killed, or kills its process; that one included."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answers = Path(folder, "jobs.json"), Path(folder, "answers.jsonl")
        asked.write_text(json.dumps(jobs))
        answers.touch()
        said = open(Path(folder, "said"), "w+")  # noqa: SIM115  closed with the process
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "MPLBACKEND": "agg"}
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("watch.py")), str(asked), str(answers)],
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        done, since, allowed = 0, time.monotonic(), START
        while process.poll() is None:
            time.sleep(0.1)
            now = answers.read_bytes().count(b"\n")
            if now > done:
                done, since, allowed = now, time.monotonic(), limit
            elif time.monotonic() - since > allowed:
                process.kill()
                process.wait()
                break
        said.seek(0)
        words = said.read()[-2000:]
        said.close()
        found = [json.loads(line) for line in answers.read_text().splitlines()]
    if len(found) < len(jobs):
        how = "hangs" if process.returncode == -9 else f"ends its process with {process.returncode}"
        found.append(
            {"code": None, "events": [], "output": words, "traceback": how, "seconds": limit, "bytes": 0}
        )
    return found


def faults(job: dict[str, Any], found: dict[str, Any], most_bytes: int = 2 << 30) -> list[str]:
    """What a job did that no input may make hemf do; empty where all is well."""
    wrong = [*found["events"]]
    if found["traceback"]:
        wrong.append(found["traceback"])
    if "Traceback (most recent call last)" in found["output"]:
        wrong.append(f"shows a traceback: {found['output']}")
    if found["code"] not in (0, 1, 2):
        wrong.append(f"exit code {found['code']}")
    if found["code"] == 2 and not any(": error: " in line for line in found["output"].splitlines()):
        wrong.append(f"exit code 2 without a line that says why: {found['output']!r}")
    if found["bytes"] > most_bytes:
        wrong.append(f"takes {found['bytes'] / 2**20:.0f} MiB")
    if found["seconds"] > LIMIT:
        wrong.append(f"takes {found['seconds']:.0f} s")
    return wrong
