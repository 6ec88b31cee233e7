"""What has become of the images that a node was sent, in lines."""

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.text import counted, printable
from hemf.node.queue import FILE, opened
from hemf.node.sender import PROBLEM

MOST_LISTED = 50
STATES = {
    "waiting": "to be classified",
    "made": "classified, not yet sent",
    "sent": "sent",
    "refused": "without a result",
}


def status_lines(folder: Path) -> list[str]:
    """Tell what has become of the images in a node's queue, whether the node runs or not.

    Args:
        folder: of the queue.

    Returns:
        How many are in which state; what is wrong with the receiver; the last images without a result and
        results that were not taken, each with its reason.

    Raises:
        HemfError: there is no queue.
    """
    try:
        if not (folder / FILE).is_file():
            raise HemfError(f"no queue in {folder}; give --spool FOLDER, the one of hemf node")
        rows = opened(folder / FILE, writing=False)
        try:
            return [printable(line) for line in _lines(rows)]
        finally:
            rows.close()
    except sqlite3.Error as error:
        raise HemfError(f"cannot read the queue in {folder}: {error}") from error


def _lines(rows: sqlite3.Connection) -> Iterator[str]:
    counts = dict(rows.execute("SELECT state, count(*) FROM images GROUP BY state").fetchall())
    yield counted(sum(counts.values()), "image")
    for state, words in STATES.items():
        yield f"  {counts.get(state, 0):>7}  {words}"
    for (problem,) in rows.execute("SELECT value FROM about WHERE name = ? AND value != ''", (PROBLEM,)):
        yield problem
    listed = "SELECT id, sop_instance, ended AS at, reason FROM images WHERE state = 'refused'"
    yield from _listed(rows, "without a result", listed)
    listed = """SELECT id, sop_instance, again AS at,
        CASE reason WHEN '' THEN 'the process ended' ELSE reason END || ' (' || tries || ' tries)' AS reason
        FROM images WHERE state = 'waiting' AND (again > 0 OR reason != '')"""
    yield from _listed(rows, "to be classified again at", listed)
    listed = """SELECT image AS id, sop_instance, again AS at, reason || ' (' || tries || ' tries)' AS reason
        FROM results WHERE sent IS NULL AND reason != ''"""
    yield from _listed(rows, "not taken, and to be sent again at", listed)


def _listed(rows: sqlite3.Connection, title: str, listed: str) -> Iterator[str]:
    ((number,),) = rows.execute(f"SELECT count(*) FROM ({listed})")
    if number:
        last = f", the last {MOST_LISTED}" if number > MOST_LISTED else ""
        yield f"{title}{last}:"
    for row in rows.execute(f"{listed} ORDER BY id DESC LIMIT {MOST_LISTED}"):
        at = datetime.fromtimestamp(row["at"]).isoformat(" ", "seconds")
        yield f"  {row['id']:>7}  {at}  {row['sop_instance']}  {row['reason']}"
