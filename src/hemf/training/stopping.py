"""A run that is stopped, by Ctrl-C, SIGTERM or a full disk, says what it was and how to go on."""

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from torch.utils.data._utils import signal_handling

from hemf.core.errors import HemfError
from hemf.core.files import full_disk
from hemf.training.processes import lost_another

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def resumable(path: Path | None, console: Console, verb: str = "hemf train") -> Iterator[None]:
    """Train the run at ``path`` inside the block; whatever stops it, one line says how to go on.

    Ctrl-C raises ``KeyboardInterrupt`` and SIGTERM leaves with exit code 143, both at once. A signal to the
    whole process group ends the processes that read images too; their deaths are then its doing.

    Args:
        path: the run's folder; None in processes that do not know it.
        console: where to say it.
        verb: the command that goes on.

    Raises:
        HemfError: the disk is full, or another process of the training has ended.
    """
    again = f"continue with: {verb} --resume {shlex.quote(str(path or 'RUN'))}"
    stopped: list[int] = []
    with _noticed(stopped), _threads_are_quiet_about_a_full_disk():
        try:
            yield
        except BaseException as error:
            if not stopped and isinstance(error, (KeyboardInterrupt, SystemExit)):  # raised, not sent
                stopped.append(signal.SIGINT)
            if stopped:
                console.print(f"stopped by {_name(stopped[0])}; {again}")
                _leave(stopped[0], error)
            if (full := full_disk(error)) is not None:
                why = f"cannot write into {path or 'the run'}: {full.strerror or full}"
                raise HemfError(f"{why}; free the disk, then {again}") from error
            if lost_another(error):
                raise HemfError(
                    f"another process of this training has ended, see what it says; then {again}"
                ) from error
            raise


@contextmanager
def _noticed(stopped: list[int]) -> Iterator[None]:
    """Raise what a signal means where it comes, and note it; only a program's first thread gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def notice(number: int, frame: FrameType | None) -> None:
        if not stopped:  # a second one must not cut short the first one's clearing up
            stopped.append(number)
            _expect_deaths()
            _leave(number, None)

    before = {number: signal.signal(number, notice) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _expect_deaths() -> None:
    """Keep torch from raising an error when a reading process ends now; its next loader watches again.

    The handler is one of Python's that does nothing: of a death already noticed, Python complains on stderr
    where the default has taken its place by then.
    """
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal_handling._SIGCHLD_handler_set = False


@contextmanager
def _threads_are_quiet_about_a_full_disk() -> Iterator[None]:
    """Print no traceback of the thread that writes the curves: they raise it when closed."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is None or full_disk(arguments.exc_value) is None:
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _leave(number: int, error: BaseException | None) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt from error
    sys.exit(128 + number)


def _name(number: int) -> str:
    return "Ctrl-C (SIGINT)" if number == signal.SIGINT else signal.Signals(number).name
