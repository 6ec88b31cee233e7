"""Runs hemf's command line on hostile input in one process, and writes down what it did that it may not do.

Run as ``python watch.py JOBS OUT``. JOBS is a JSON list of jobs (``arguments``, ``cwd``, ``may_write``,
``outside``); OUT gets a line of JSON for each as it ends: exit code, output, seconds, peak memory, and the
*events*: files opened for writing or changed elsewhere than in ``may_write``, anything opened in ``outside``,
connections, processes, pickles.
"""

import contextlib
import io
import json
import os
import platform
import resource
import sys
import time
import traceback
from pathlib import Path

CHANGES = {
    "os.rename": (0, 1),
    "os.replace": (0, 1),
    "os.remove": (0,),
    "os.unlink": (0,),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.chmod": (0,),
    "os.truncate": (0,),
    "shutil.rmtree": (0,),
    "shutil.copyfile": (1,),
    "shutil.move": (1,),
    "shutil.unpack_archive": (1,),
}
"""Audit events that change files, and which of their arguments are the files."""
FORBIDDEN = {
    *("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"),
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile"),
    *("pickle.find_class", "urllib.Request", "http.client.connect", "ctypes.dlopen", "code.__new__"),
}
MOST_MEMORY = 16 << 30
"""Bytes of address space, of which the libraries take 5 GiB: a fault shall not take the machine along."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """The audit hook; it is silent until ``begin``."""

    def __init__(self) -> None:
        self.job = None
        self.events: list[str] = []

    def begin(self, job: dict) -> None:
        self.job, self.events = job, []

    def end(self) -> list[str]:
        self.job = None
        return self.events

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.job is None:
            return
        job, self.job = self.job, None  # what is asked of paths below is not the job's doing
        try:
            self._look(job, event, arguments)
        finally:
            self.job = job

    def _look(self, job: dict, event: str, arguments: tuple) -> None:
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, int):
                return
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & WRITES
            if writes and not self._allowed(job, path):
                self.events.append(f"writes {path}")
            elif self._under(path, [job["outside"]]):
                self.events.append(f"opens {path}")
        elif event in CHANGES:
            for number in CHANGES[event]:
                if isinstance(arguments[number], str | bytes | os.PathLike) and not self._allowed(
                    job, arguments[number]
                ):
                    self.events.append(f"{event} {arguments[number]}")
        elif event in FORBIDDEN and not self._is_own(event, arguments):
            self.events.append(f"{event} {str(arguments)[:200]}")

    def _allowed(self, job: dict, path: object) -> bool:
        return os.fsdecode(path) == os.devnull or self._under(path, job["may_write"])

    @staticmethod
    def _under(path: object, folders: list[str]) -> bool:
        real = Path(os.path.realpath(os.fsdecode(path)))
        return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)

    @staticmethod
    def _is_own(event: str, arguments: tuple) -> bool:
        """hemf asks git for the commit of its own checkout, decodes apart, and torch looks for a driver."""
        if event == "subprocess.Popen":
            words = list(arguments[1])
            return words[:2] == ["git", "-C"] or "from hemf.data.image.apart import serve; serve()" in words
        return event == "ctypes.dlopen" and arguments[0] == "libnvidia-ml.so.1"


def run(job: dict, watch: Watch) -> dict:
    """Run one job; whatever it does, the next one can run."""
    from hemf import cli

    said, failure = io.StringIO(), ""
    os.chdir(job["cwd"])
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of memory
    before, start = _memory("VmRSS"), time.monotonic()
    watch.begin(job)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = cli.main(job["arguments"])
    except SystemExit as error:
        code = error.code
    except BaseException:
        code, failure = None, traceback.format_exc()
    events = watch.end()
    return {
        "code": code,
        "events": events,
        "output": said.getvalue()[-4000:],
        "traceback": failure,
        "seconds": time.monotonic() - start,
        "bytes": max(0, _memory("VmHWM") - before),
    }


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Run all jobs; the parent sees by the lines of OUT how far they came."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    import matplotlib.pyplot
    import pytorch_lightning  # noqa: F401  what is imported before the hook is no doing of a job
    import requests  # noqa: F401
    import torchcam  # noqa: F401

    import hemf.models  # noqa: F401
    from hemf.cli.app import VERBS, load_verb

    for verb in VERBS:
        load_verb(verb)
    matplotlib.pyplot.close("all")
    platform.processor()  # asks uname, once
    watch = Watch()
    sys.addaudithook(watch)
    jobs = json.loads(Path(sys.argv[1]).read_text())
    with open(sys.argv[2], "a", encoding="utf-8") as out:
        for job in jobs:
            out.write(json.dumps(run(job, watch)) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
