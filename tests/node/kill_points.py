"""Runs a node again and again, and kills each but the last at another point; forked, so that it imports once.

Arguments: the folder, and the receiver's port. The last node runs until it is ended.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from node_files import ABOUT, FOUND

from hemf.data.loading.prepared import Prepared
from hemf.node import receive, sender, service, worker
from hemf.node.destinations import Peer
from hemf.node.queue import Queue
from hemf.node.source import Filter

MODEL: Any = SimpleNamespace(
    prepare=lambda image: Prepared(image, None, None, None), predict=lambda *_, **__: [FOUND]
)

LAST = "at no point"


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, and then the end."""

    def both(*arguments: Any, **named: Any) -> None:
        function(*arguments, **named)
        die()

    return both


POINTS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "before the image is noted": (Queue, "accept", lambda old: die),
    "before the acknowledgement": (Queue, "accept", then),
    "once it is taken up": (Queue, "next_waiting", then),
    "once it is classified": (worker, "structured_report", then),
    "before results are noted": (Queue, "made", lambda old: die),
    "once results are noted": (Queue, "made", then),
    "before a result is sent": (sender.Sender, "_send", lambda old: die),
    "between sent and noted": (Queue, "sent", lambda old: die),
    "once it is noted as sent": (Queue, "sent", then),
}


class Told:
    """What listens, and writes its port to a file."""

    folder: Path

    def __init__(self, *arguments: Any) -> None:
        self.context = receive.listening(*arguments)

    def __enter__(self) -> int:
        port = self.context.__enter__()
        (self.folder / "part").write_text(str(port))
        (self.folder / "part").rename(self.folder / "port")
        return port

    def __exit__(self, *error: Any) -> None:
        self.context.__exit__(*error)


def run(folder: Path, receiver: int, point: str) -> int:
    """Run one node, which dies at its point."""
    if point in POINTS:
        home, name, change = POINTS[point]
        setattr(home, name, change(getattr(home, name)))
    Told.folder, service.listening = folder, Told
    queue = Queue(folder / "spool", ABOUT.sha256)
    peer = Peer.parse(f"PACS@127.0.0.1:{receiver}", "HEMF")
    here = service.Listening("HEMF", "127.0.0.1", 0)
    return service.run(queue, MODEL, ABOUT, Filter(), False, peer, here)


def main() -> None:
    """Run one node after the other, and tell how each ended."""
    folder, receiver = Path(sys.argv[1]), int(sys.argv[2])
    for point in (*POINTS, LAST):
        (folder / "port").unlink(missing_ok=True)
        (folder / "point").write_text(point)
        child = os.fork()
        if child == 0:
            os._exit(run(folder, receiver, point))
        (folder / "child").write_text(str(child))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(f"{point}: {code}", flush=True)


if __name__ == "__main__":
    main()
