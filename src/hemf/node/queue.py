"""What the node has been sent and what became of it: rows of SQLite beside the files, safe at every step.

An image goes from ``waiting`` to ``made`` (its results lie there, with the UIDs that they keep) to ``sent``,
or to ``refused`` with a reason. Its files are removed with the last step; its row stays, so that the same
image is known when it is sent again.
"""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemf.core.errors import HemfError
from hemf.core.files import lock

FILE, LOCK = "queue.sqlite", ".lock"
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds before a second try, and before each of many."""
FREE_TRIES = 3
"""Of classifying an image before there are pauses."""
STALE = 3600.0
"""Seconds after which a file that no row knows is no image that is just being received."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sop_instance TEXT NOT NULL UNIQUE, file TEXT NOT NULL,
    received REAL NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', tries INTEGER NOT NULL DEFAULT 0,
    again REAL NOT NULL DEFAULT 0, ended REAL, reason TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS images_state ON images (state, id);
CREATE TABLE IF NOT EXISTS results (
    sop_instance TEXT PRIMARY KEY, image INTEGER NOT NULL REFERENCES images (id), file TEXT NOT NULL,
    sent REAL, tries INTEGER NOT NULL DEFAULT 0, again REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS results_due ON results (sent, again);
CREATE INDEX IF NOT EXISTS results_image ON results (image);
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Waiting:
    """An image that is to be classified.

    Args:
        id: its number in the queue.
        sop_instance: its SOP Instance UID, as its sender called it.
        path: its file.
    """

    id: int
    sop_instance: str
    path: Path


@dataclass(frozen=True)
class Result:
    """A report or a heat map that is to be sent.

    Args:
        sop_instance: its SOP Instance UID.
        image: number of its image.
        path: its file.
        tries: how often it has been sent in vain.
    """

    sop_instance: str
    image: int
    path: Path
    tries: int = 0


class Queue:
    """The queue in a folder that this process alone works on; any of its threads may.

    Args:
        folder: its folder, which is made where there is none, for its user's eyes alone.
        model: what decides the model's answers; a queue is one model's.

    Raises:
        HemfError: the folder cannot be had or holds other things, another node works on it, or it is another
            model's.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self.images, self.results = folder / "images", folder / "results"
        self.changed = threading.Condition()
        self._one_at_a_time = threading.RLock()
        mend = "choose another --spool"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_own(folder)
            self._lock = _locked(folder / LOCK)
            self._rows = opened(folder / FILE)  # which from here on marks the folder as ours
            for one in (self.images, self.results):
                one.mkdir(mode=0o700, exist_ok=True)
        except BlockingIOError as error:
            raise HemfError(f"another node works on {folder}; end it, or {mend}") from error
        except (OSError, sqlite3.Error) as error:
            raise HemfError(f"cannot keep a queue in {folder}: {error}; {mend}") from error
        if self.about("model", model) != model:
            self.close()
            raise HemfError(f"{folder} is the queue of another model; {mend}")
        self.clear(0.0)

    def close(self) -> None:
        """Close it; it can be opened again."""
        self._rows.close()
        os.close(self._lock)

    def about(self, name: str, value: str | None = None) -> str:
        """Return what is noted under a name, else nothing; a value is noted where there is none yet."""
        if value is not None:
            self._do("INSERT OR IGNORE INTO about VALUES (?, ?)", name, value)
        return next((row["value"] for row in self._do("SELECT value FROM about WHERE name = ?", name)), "")

    def note(self, name: str, value: str) -> None:
        """Note a value under a name, in place of the one before."""
        self._do("INSERT OR REPLACE INTO about VALUES (?, ?)", name, value)

    def accept(self, sop_instance: str, file: Path) -> bool:
        """Take in an image whose file lies in ``images``; when this returns, it survives a loss of power.

        Returns:
            Whether it is new. A known one is left as it is, and the file is removed.
        """
        _sync(file)
        _sync(self.images)
        row = "INSERT INTO images (sop_instance, file, received) VALUES (?, ?, ?)"
        row += " ON CONFLICT DO NOTHING RETURNING id"
        is_new = bool(self._do(row, sop_instance, file.name, time.time()))
        if not is_new:
            file.unlink(missing_ok=True)
        self._wake()
        return is_new

    def next_waiting(self) -> Waiting | None:
        """Return the first image that is to be classified; None where none waits.

        One during which the process ended ``FREE_TRIES`` times or more comes again ever later, so that it
        does not hold up the others if it was the cause.
        """
        first = "SELECT * FROM images WHERE state = 'waiting' AND again <= ? ORDER BY id LIMIT 1"
        with self._together():
            for row in self._do(first, now := time.time()):
                rest = row["tries"] + 1 - FREE_TRIES
                again = now + pause(rest) if rest >= 0 else 0.0
                self._do("UPDATE images SET tries = tries + 1, again = ? WHERE id = ?", again, row["id"])
                return Waiting(row["id"], row["sop_instance"], self.images / row["file"])
        return None

    def failed(self, image: Waiting, reason: str) -> None:
        """Note why classifying an image failed that is to be tried again."""
        self._do("UPDATE images SET reason = ? WHERE id = ?", reason, image.id)

    def is_own(self, sop_instance: str) -> bool:
        """Return whether an object is one of the node's results."""
        return bool(self._do("SELECT 1 FROM results WHERE sop_instance = ?", sop_instance))

    def refuse(self, image: Waiting, reason: str) -> None:
        """Give an image no result, and say why; its file is removed."""
        row = "UPDATE images SET state = 'refused', ended = ?, reason = ? WHERE id = ?"
        self._do(row, time.time(), reason, image.id)
        image.path.unlink(missing_ok=True)

    def made(self, image: Waiting, results: Sequence[Result]) -> None:
        """Note the results of an image, whose files lie in ``results``; they keep their UIDs for ever."""
        _sync(self.results)
        with self._together():
            row = "UPDATE images SET state = 'made', reason = '', ended = ? WHERE id = ?"
            self._do(row, time.time(), image.id)
            for one in results:
                row = "INSERT INTO results (sop_instance, image, file) VALUES (?, ?, ?)"
                self._do(row, one.sop_instance, image.id, one.path.name)
        image.path.unlink(missing_ok=True)
        self._wake()

    def due(self, most: int = 100) -> list[Result]:
        """Return results whose time to be sent has come, the oldest first."""
        row = "SELECT * FROM results WHERE sent IS NULL AND again <= ? ORDER BY image, rowid LIMIT ?"
        found = self._do(row, time.time(), most)
        return [Result(r["sop_instance"], r["image"], self.results / r["file"], r["tries"]) for r in found]

    def sent(self, result: Result) -> None:
        """Note that a result has arrived; its file is removed, and with the last its image is done."""
        with self._together():
            row = "UPDATE results SET sent = ?, reason = '' WHERE sop_instance = ?"
            self._do(row, time.time(), result.sop_instance)
            left = "SELECT 1 FROM results WHERE image = ? AND sent IS NULL"
            if not self._do(left, result.image):
                self._do("UPDATE images SET state = 'sent' WHERE id = ?", result.image)
        result.path.unlink(missing_ok=True)

    def postpone(self, result: Result, seconds: float, reason: str) -> None:
        """Note why a result has not been taken, and when to send it again."""
        row = "UPDATE results SET tries = tries + 1, again = ?, reason = ? WHERE sop_instance = ?"
        self._do(row, time.time() + seconds, reason, result.sop_instance)

    def wait(self, seconds: float) -> None:
        """Wait for a change, at most so long."""
        with self.changed:
            self.changed.wait(seconds)

    def clear(self, age: float = STALE) -> None:
        """Remove files of at least that age, in seconds, that no row needs: of broken transfers, or done."""
        known = {row["file"] for row in self._do("SELECT file FROM images WHERE state = 'waiting'")}
        known |= {row["file"] for row in self._do("SELECT file FROM results WHERE sent IS NULL")}
        for file in (*self.images.iterdir(), *self.results.iterdir()):
            with suppress(FileNotFoundError):
                if file.name not in known and file.stat().st_mtime <= time.time() - age:
                    file.unlink()

    def _wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Make the statements inside the block one transaction."""
        with self._one_at_a_time:
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._rows.execute("ROLLBACK")
                raise
            self._rows.execute("COMMIT")

    def _do(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement, which is on disk when this returns, unless it is one of several; returns rows."""
        with self._one_at_a_time:
            return self._rows.execute(statement, values).fetchall()


def pause(tries: int) -> float:
    """Return the seconds before the next try: twice those before, within bounds, and a little at random."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries, 20)) * random.uniform(0.8, 1.2)


def opened(file: Path, writing: bool = True) -> sqlite3.Connection:
    """Open the rows of a queue; what is written is on disk before the statement returns.

    Raises:
        sqlite3.Error: there are none, or they cannot be read.
    """
    if not writing:
        rows = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    else:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
        rows = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("PRAGMA synchronous = FULL")
        rows.executescript(SCHEMA)
    rows.row_factory = sqlite3.Row
    return rows


def _check_own(folder: Path) -> None:
    """Refuse a folder that is no queue's and not empty: files that no row needs are removed from a queue's.

    Raises:
        HemfError: it is such a folder.
    """
    others = {file.name for file in folder.iterdir()} - {LOCK, "lost+found"}  # which a disk of its own has
    if others and not (folder / FILE).is_file():
        raise HemfError(f"{folder} holds other things than a queue; choose another --spool, a new folder")


def _locked(file: Path) -> int:
    """Lock a file until it is closed.

    Raises:
        BlockingIOError: another process has locked it.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lock(handle, wait=False)
    except OSError:
        os.close(handle)
        raise
    return handle


def _sync(path: Path) -> None:
    """Bring a file, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
