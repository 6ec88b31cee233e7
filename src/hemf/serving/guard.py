"""What every request passes before anything else sees it: whose it is, how large, how long it may take."""

import asyncio
import hashlib
import hmac
import sys
import time
from collections.abc import Callable
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hemf.core.errors import HemfError
from hemf.core.machine import is_loopback
from hemf.core.untrusted import check_regular
from hemf.serving.limits import REFUSED_TIMES, Limits
from hemf.serving.metrics import Metrics
from hemf.serving.refusals import FAILED, Refused

OPEN = ("/", "/docs", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
"""What is answered without a token, as the parts of the page are: it tells no more than that all is well."""
STATIC = "/static/"
SHORTEST_TOKEN, LONGEST_TOKEN = 16, 1024
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def read_token(file: str | Path) -> bytes:
    """Read the token that requests must bring, and return its SHA-256.

    Raises:
        HemfError: the file cannot be read or holds no token of ``SHORTEST_TOKEN`` or more characters.
    """
    mend = "write a token into it, such as that of: openssl rand -hex 32"
    try:
        check_regular(Path(file), mend, 4 * LONGEST_TOKEN)
        token = Path(file).read_bytes().strip()
    except OSError as error:
        raise HemfError(f"cannot read --token-file {file}: {error.strerror or error}; {mend}") from error
    plain = all(0x21 <= byte <= 0x7E for byte in token)
    if not plain or not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
        raise HemfError(
            f"--token-file {file} must hold one line of {SHORTEST_TOKEN} to {LONGEST_TOKEN} letters, digits "
            f"and signs; {mend}"
        )
    return hashlib.sha256(token).digest()


class Guard:
    """An ASGI application around another.

    Args:
        app: the other one.
        limits: bytes and seconds of a request, and bytes of all.
        metrics: where requests are counted.
        token: returns the SHA-256 of the token that requests must bring, or None where they need none.
        local: whether only requests to this machine's own names are answered, because no token protects it:
            else a page of the internet could reach it under a name of its own (DNS rebinding).
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        token: Callable[[], bytes | None],
        local: bool = False,
    ) -> None:
        self.app, self.limits, self.metrics, self.token, self.local = app, limits, metrics, token, local
        self.held = 0  # bytes of all requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(self, scope, receive, send)
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self.limits.seconds):
                self._check(scope)
                exchange.announce()
                await self.app(scope, exchange.receive, exchange.send)
        except Refused as refusal:
            await exchange.refuse(refusal)
        except TimeoutError:
            await exchange.refuse(exchange.late())
        except Exception as error:  # whatever it is, its words may hold what was sent
            _report(error)
            await exchange.refuse(FAILED)
        finally:
            self.held -= exchange.received
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(path, str(exchange.status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        """Refuse requests that are not from whom they should be."""
        headers = Headers(scope=scope)
        name = headers.get("host", "").rpartition(":")
        host = name[0] if name[0] and not name[2].endswith("]") else "".join(name)
        if self.local and not is_loopback(host):
            raise Refused(
                421,
                "this server answers to localhost; for other names give it --token-file or --without-token",
            )
        if self.local and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused(403, "another site's page sent this; open the server's own page")
        path, wanted = scope["path"], self.token()
        if wanted is None or path in OPEN or path.startswith(STATIC):
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(given.strip().encode("latin-1")).digest()
        if not hmac.compare_digest(digest, wanted) or kind.lower() != "bearer":
            raise Refused(
                401,
                "this server needs its token; send the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )


class _Exchange:
    """One request and its answer on their way through the guard."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.guard, self.limits, self.scope = guard, guard.limits, scope
        self._receive, self._send = receive, send
        self.received = self.status = 0
        self.whole = self.answered = False

    def announce(self) -> None:
        """Refuse by its head a request that says itself that it is too large."""
        length = Headers(scope=self.scope).get("content-length", "0")
        if length.isdecimal() and int(length) > self.limits.body:
            raise self._too_large()

    async def receive(self) -> Message:
        """Pass on a part of the request, as long as it and all others are within their bounds."""
        message = await self._receive()
        size = len(message.get("body", b""))
        self.received += size
        self.guard.held += size
        self.whole = self.whole or not message.get("more_body", False)
        if self.received > self.limits.body:
            raise self._too_large()
        if self.guard.held > self.limits.held:
            raise Refused(429, "too many bytes are waiting; come again in 1 s", {"Retry-After": "1"})
        return message

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer, with the headers that all answers have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)
        self.answered = message["type"] == "http.response.body" and not message.get("more_body", False)

    async def refuse(self, refusal: Refused) -> None:
        """Answer that a request is not served, if nothing has been answered yet; its rest is thrown away."""
        if self.answered:
            return
        if self.status:
            raise ConnectionAbortedError("an answer was cut off") from None  # which closes the connection
        if not self.whole:
            refusal = Refused(refusal.status, refusal.line, {**refusal.headers, "Connection": "close"})
            await self._drain()
        await refusal.response(self.scope, self._receive, self.send)

    def late(self) -> Refused:
        """Return the refusal of a request whose time is up."""
        seconds = f"{self.limits.seconds:g} seconds"
        if not self.whole:
            return Refused(408, f"the request did not come whole in {seconds}; send it faster, or in parts")
        return Refused(503, f"the answer took longer than {seconds}; come again", {"Retry-After": "1"})

    def _too_large(self) -> Refused:
        return Refused(
            413, f"the request has more than {self.limits.body:,} bytes; shrink the images, or send fewer"
        )

    async def _drain(self) -> None:
        """Read what is still being sent, for a second: a sender who is cut off may not see the answer."""
        left = REFUSED_TIMES * self.limits.body
        try:
            async with asyncio.timeout(1):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return


def _report(error: Exception) -> None:
    """Say on stderr where the server failed, without the error's own words."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" in {place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
    print(f"hemf serve: {type(error).__name__}{where}", file=sys.stderr, flush=True)
