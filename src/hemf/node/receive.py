"""The side that images come in at: C-ECHO and C-STORE, acknowledged once an image is safe in the queue."""

import logging
import shutil
import sqlite3
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification  # pyright: ignore[reportAttributeAccessIssue]

from hemf.core.errors import HemfError
from hemf.core.text import one_line
from hemf.data.dicom.codecs import SYNTAXES
from hemf.node.queue import Queue
from hemf.node.source import is_uid

logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # it tells of headers

READ = (
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian),
    *(JPEGBaseline8Bit, RLELossless, *SYNTAXES),
)
"""Transfer syntaxes that are taken, the liked ones first: those that hemf decodes."""

SUCCESS, NO_ROOM, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
LEAST_FREE = 2**29
"""Bytes of the disk that stay free."""
MOST_ASSOCIATIONS = 32
SILENCE = 60.0
"""Seconds after which a sender that says nothing is hung up on."""
GRACE = 10.0
"""Seconds in which senders may finish when the node is to end."""


@contextmanager
def listening(
    queue: Queue,
    title: str,
    address: tuple[str, int],
    allowed: Sequence[str] = (),
    tls: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """Take images inside the block; at its end take no new senders, let the others finish, and hang up.

    Files that are just coming in lie in the queue's folder too, and nowhere else.

    Args:
        queue: where images go.
        title: the node's AE title, which senders must call it by.
        address: the host and the port, 0 for any that is free.
        allowed: AE titles of those who may send; empty for all.
        tls: what connections are encrypted with; None for plain ones.

    Yields:
        The port.

    Raises:
        HemfError: the address cannot be had.
    """
    ae = _entity(title, allowed)
    handlers: list[Any] = [(evt.EVT_C_STORE, _store, [queue]), (evt.EVT_CONN_OPEN, _opened)]
    with _arriving_in(queue.images):
        try:
            server = ae.start_server(address, block=False, evt_handlers=handlers, ssl_context=tls)
        except (OSError, OverflowError) as error:
            where, mend = "host {}, port {}".format(*address), "give another --host or --dicom-port"
            raise HemfError(f"cannot listen on {where}: {one_line(error)}; {mend}") from error
        assert server is not None, "one that does not block is returned"
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            until = time.monotonic() + GRACE
            while any(one.is_established for one in server.active_associations) and time.monotonic() < until:
                time.sleep(0.05)
            ae.shutdown()


def _entity(title: str, allowed: Sequence[str]) -> AE:
    """Return what takes images of all kinds: those that the model is not for get a reason."""
    ae = AE(title)
    ae.maximum_associations, ae.network_timeout = MOST_ASSOCIATIONS, SILENCE
    ae.require_called_aet, ae.require_calling_aet = True, list(allowed)
    ae.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(cast("str", context.abstract_syntax), list(READ))
    return ae


@contextmanager
def _arriving_in(folder: Path) -> Iterator[None]:
    """Let pynetdicom write what is just coming in to a folder, in pieces, rather than hold it in memory."""
    before = _config.STORE_RECV_CHUNKED_DATASET, tempfile.tempdir
    _config.STORE_RECV_CHUNKED_DATASET, tempfile.tempdir = True, str(folder)
    try:
        yield
    finally:
        _config.STORE_RECV_CHUNKED_DATASET, tempfile.tempdir = before


def _opened(event: evt.Event) -> None:
    """Let no sender hold a thread for ever."""
    opened = event.assoc.dul.socket
    if opened is not None and opened.socket is not None:
        opened.socket.settimeout(SILENCE)


def _store(event: evt.Event, queue: Queue) -> int:
    """Answer a C-STORE: success once the image is in the queue, so that the sender may forget it."""
    instance = str(cast("C_STORE", event.request).AffectedSOPInstanceUID or "")
    if not is_uid(instance):
        return NOT_UNDERSTOOD
    try:
        if shutil.disk_usage(queue.images).free < LEAST_FREE:
            return NO_ROOM
        arrived = Path(event.dataset_path)
        kept = arrived.with_name(f"{arrived.stem}-{time.time_ns()}.dcm")
        arrived.rename(kept)
        queue.accept(instance, kept)
    except (OSError, sqlite3.Error):
        return NO_ROOM
    return SUCCESS
