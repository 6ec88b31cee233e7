"""Runs the node: the side that receives, a thread that classifies, one that sends, and the orderly end."""

import signal
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hemf.node.destinations import Destination
from hemf.node.queue import Queue
from hemf.node.receive import listening
from hemf.node.results.about import About
from hemf.node.sender import Sender
from hemf.node.source import Filter
from hemf.node.worker import Worker

if TYPE_CHECKING:
    from hemf.inference.classifier import Classifier


@dataclass(frozen=True)
class Listening:
    """How the node is reached.

    Args:
        title: its AE title.
        host: address to listen on.
        port: port, or 0 for any that is free.
        allowed: AE titles of those who may send; empty for all.
        tls: what connections are encrypted with; None for plain ones.
    """

    title: str
    host: str
    port: int
    allowed: Sequence[str] = ()
    tls: ssl.SSLContext | None = None


def run(
    queue: Queue,
    classifier: "Classifier",
    about: About,
    wanted: Filter,
    overlay: bool,
    destination: Destination,
    here: Listening,
) -> int:
    """Receive, classify and send until SIGINT or SIGTERM; then finish what is at hand.

    What is not done stays in the queue for the next time.

    Returns:
        0, or 1 where a thread came to an unexpected end.

    Raises:
        HemfError: the address cannot be had.
    """
    ending, failed = threading.Event(), threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: ending.set())
    worker = Worker(queue, classifier, about, wanted, overlay)
    threads = [
        threading.Thread(target=_guarded, args=(one.run, ending, failed))
        for one in (worker, Sender(queue, destination))
    ]
    address = (here.host, here.port)
    with listening(queue, here.title, address, here.allowed, here.tls) as port:
        host = f"[{here.host}]" if ":" in here.host else here.host
        model = f"{about.name} ({about.sha256[:12]})"
        print(f"hemf node: {model} sends to {destination}; {here.title}@{host}:{port}", flush=True)
        for one in threads:
            one.start()
        while not ending.wait(3600):  # in pieces, so that signals are heard everywhere
            pass
    for one in threads:
        one.join()
    return int(failed.is_set())


def _guarded(
    work: Callable[[threading.Event], None], ending: threading.Event, failed: threading.Event
) -> None:
    """Do a thread's work; where it fails in an unforeseen way, end all rather than do half of it."""
    try:
        work(ending)
    except BaseException as error:  # whose words may be a header's: its kind and its place are told
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {last.name}, line {last.lineno} of {last.filename}"
        print(f"hemf node: ends, because of a fault in itself: {where}", file=sys.stderr, flush=True)
        failed.set()
        ending.set()
