"""Serves the application: the address, the signals, and the end in which nothing is lost."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from hemf.core.errors import HemfError
from hemf.core.text import printable
from hemf.serving.limits import HEAD_SECONDS, Limits

MOST_CONNECTIONS = 1000
BACKLOG = 2048
GRACE = 5.0
"""Seconds after those of a request in which all must have been answered when the server is to end."""


def listen(host: str, port: int) -> socket.socket:
    """Open the socket that is listened on; who connects before the server runs, waits for it.

    Args:
        host: an address or a name of this machine.
        port: a port, or 0 for any that is free.

    Raises:
        HemfError: it cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.socket(found[0], socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(found[4])
        opened.listen(BACKLOG)  # so that the address answers from the moment at which it is told
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise HemfError(
            f"cannot listen on {host}, port {port}: {reason}; give another --host or --port"
        ) from error
    return opened


def run(app: Any, opened: socket.socket, limits: Limits, reload: Callable[[], str]) -> None:
    """Serve until SIGINT or SIGTERM; then take nothing new, answer what is there, and return.

    Args:
        app: the application.
        opened: the socket.
        limits: how long requests may take.
        reload: called in a thread at SIGHUP; returns what is to be said, and raises ``HemfError``.
    """
    for ending in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again when all is done
        signal.signal(ending, _nothing)
    asyncio.run(_Server(configured(app, limits), reload).serve([opened]))


def configured(app: Any, limits: Limits) -> uvicorn.Config:
    """Return how uvicorn is to serve an application; it logs nothing but what goes wrong in itself."""
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=partial(_ImpatientProtocol, patience=min(HEAD_SECONDS, limits.seconds)),  # pyright: ignore[reportArgumentType]
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=round(limits.seconds + GRACE),
        lifespan="on",
    )


def _nothing(*_: Any) -> None:
    """Handle a signal that has been answered already."""


class _Server(uvicorn.Server):
    """uvicorn's, which reloads at SIGHUP."""

    def __init__(self, config: uvicorn.Config, reload: Callable[[], str]) -> None:
        super().__init__(config)
        self._reload, self._reloading = reload, asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and hear SIGHUP where there is such a signal."""
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)
        await super().startup(sockets)

    def _hang_up(self) -> None:
        task = asyncio.create_task(self._exchange())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _exchange(self) -> None:
        async with self._reloading:
            try:
                said = await asyncio.to_thread(self._reload)
            except (HemfError, OSError) as error:
                said = f"not reloaded, all stays as it was: {error}"
        print(printable(said), file=sys.stderr, flush=True)


class _ImpatientProtocol(H11Protocol):
    """uvicorn's, which closes connections on which the head of a request does not come to its end."""

    def __init__(self, *arguments: Any, patience: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._seconds = patience
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self._seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
