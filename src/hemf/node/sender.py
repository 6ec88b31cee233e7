"""Sends results until they have arrived, ever more patiently where the receiver does not take them."""

import sqlite3
import sys
import threading

from hemf.node.destinations import Destination, NotTaken, Send, Unreachable
from hemf.node.queue import FIRST_PAUSE, LONGEST_PAUSE, Queue, Result, pause

PROBLEM = "problem"
"""Under which the queue notes why the receiver cannot be reached."""


class Sender:
    """What sends; its ``run`` is a thread's.

    Args:
        queue: where results wait.
        destination: where they go.
    """

    def __init__(self, queue: Queue, destination: Destination) -> None:
        self.queue, self.destination = queue, destination
        self.failures = 0  # since the receiver was last reached

    def run(self, ending: threading.Event) -> None:
        """Send until the end is asked for; the object at hand is finished."""
        while not ending.is_set():
            try:
                if not self.step(ending):
                    self.queue.wait(1.0)
            except Unreachable as problem:
                seconds = pause(self.failures)
                self.failures += 1
                self._tell(f"cannot send to {self.destination}: {problem}")
                ending.wait(seconds)
            except (OSError, sqlite3.Error) as error:
                self._tell(f"cannot send to {self.destination}: the queue fails ({type(error).__name__})")
                ending.wait(FIRST_PAUSE)

    def step(self, ending: threading.Event) -> bool:
        """Send what is due over one connection; returns whether anything was.

        Raises:
            Unreachable: the receiver cannot be reached; what has not arrived stays due.
        """
        due = self.queue.due()
        if not due:
            return False
        with self.destination.opened() as send:
            for result in due:
                if ending.is_set():
                    break
                self._send(send, result)
        return True

    def _send(self, send: Send, result: Result) -> None:
        try:
            send(result.path)
        except NotTaken as why:
            self.queue.postpone(result, pause(result.tries), str(why))
        except FileNotFoundError:
            self.queue.postpone(result, LONGEST_PAUSE, "its file is gone from the folder of the queue")
        else:
            self.queue.sent(result)
        self.failures = 0
        if self.queue.about(PROBLEM):
            self._tell(f"sends to {self.destination} again", "")

    def _tell(self, words: str, problem: str | None = None) -> None:
        """Note what is the matter for the status, and say it on stderr where it is new."""
        noted = words if problem is None else problem
        if self.queue.about(PROBLEM) != noted:
            self.queue.note(PROBLEM, noted)
            print(f"hemf node: {words}", file=sys.stderr, flush=True)
