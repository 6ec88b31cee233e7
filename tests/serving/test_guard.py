"""What is refused before anything is read of it: strangers, too much, too slow; and what a failure says."""

import asyncio
import hashlib
import json
import socket
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from hemf.core.errors import HemfError
from hemf.core.machine import is_loopback
from hemf.serving.guard import Guard, read_token
from hemf.serving.limits import Limits
from hemf.serving.metrics import Metrics
from hemf.serving.refusals import FAILED, answer_refusals
from hemf.serving.server import configured, listen

TOKEN = b"0123456789abcdef"
LIMITS = Limits(body=100, held=150, readers=1)
IMPATIENT = replace(LIMITS, seconds=1.0)


async def reading(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads all and answers how much it was; or does not answer, or fails."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(60)
    if scope["path"] == "/fails":
        raise RuntimeError("SECRET of a patient")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def guarded(token: bytes | None = None, local: bool = False, limits: Limits = LIMITS) -> Guard:
    digest = None if token is None else hashlib.sha256(token).digest()
    return Guard(reading, limits, Metrics(), lambda: digest, local)


def request(
    guard: Guard, *parts: bytes, path: str = "/predict", scope: dict | None = None, **headers: str
) -> tuple[int, Any, dict]:
    """Send one request in parts, the last of which leaves it open where it is b"..."; returns the answer."""
    pairs = {"host": "localhost:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = [(name.encode(), value.encode()) for name, value in pairs.items()]
    whole = {"type": "http", "method": "POST", "path": path, "headers": head} | (scope or {})
    left, sent = list(parts or (b"",)), []

    async def receive() -> dict[str, Any]:
        if left[0] == b"...":
            await asyncio.sleep(60)
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(guard(whole, receive, send))
    body = json.loads(b"".join(one.get("body", b"") for one in sent))
    return sent[0]["status"], body, {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def test_only_the_right_token_opens() -> None:
    guard = guarded(TOKEN)
    assert request(guard, b"abc", authorization=f"Bearer {TOKEN.decode()}")[:2] == (200, 3)
    for wrong in ("", "Bearer", "Bearer 0123456789abcdeF", f"Basic {TOKEN.decode()}", "Bearer " + "é" * 9):
        status, body, headers = request(guard, authorization=wrong)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer TOKEN" in body["error"]
    for path in ("/healthz", "/", "/static/page.js"):
        assert request(guard, path=path)[0] == 200
    for path in ("/metrics", "/models", "/openapi.json", "/static"):
        assert request(guard, path=path)[0] == 401


def test_a_server_without_a_token_answers_to_this_machine_alone() -> None:
    guard = guarded(local=True)
    for host in ("localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"):
        assert request(guard, host=host)[0] == 200
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", ""):
        assert request(guard, host=host)[0] == 421
    assert request(guard, sec_fetch_site="cross-site")[0] == 403
    assert request(guard, sec_fetch_site="same-origin")[0] == 200
    assert request(guarded(), host="hospital.example")[0] == 200


def test_too_many_bytes_are_refused_by_the_head_or_as_they_come() -> None:
    for parts, headers in (((b"a" * 60, b"a" * 60), {}), ((b"",), {"content_length": "101"})):
        status, body, _ = request(guarded(), *parts, **headers)
        assert (status, "more than 100 bytes" in body["error"]) == (413, True)
    guard = guarded()
    guard.held = 100
    status, _, headers = request(guard, b"a" * 60)
    assert (status, headers["retry-after"]) == (429, "1")
    assert guard.held == 100
    assert request(guard, b"a" * 40)[0] == 200


def test_slow_requests_and_slow_answers_end() -> None:
    status, body, headers = request(guarded(limits=IMPATIENT), b"a", b"...")
    assert (status, headers["connection"]) == (408, "close")
    assert "did not come whole in 1 seconds" in body["error"]
    assert request(guarded(limits=IMPATIENT), path="/slow")[0] == 503


def test_a_failure_says_where_but_nothing_of_the_request(capsys) -> None:
    status, body, _ = request(guarded(), path="/fails")
    said = capsys.readouterr().err
    assert (status, list(body)) == (500, ["error"])
    assert said.startswith("hemf serve: RuntimeError in ")
    assert "test_guard.py:" in said
    assert "SECRET" not in said + str(body)


def test_a_failure_within_the_application_is_told_in_the_same_way(capsys) -> None:
    app = FastAPI()
    answer_refusals(app)

    @app.post("/predict")
    def fails() -> None:
        raise RuntimeError("SECRET of a patient")

    guard = Guard(app, LIMITS, Metrics(), lambda: None)
    scope = {"query_string": b"", "raw_path": b"/predict", "root_path": "", "http_version": "1.1"}
    status, body, headers = request(guard, scope=scope)
    said = capsys.readouterr().err
    assert (status, body) == (500, {"error": FAILED.line})
    assert "content-security-policy" in headers
    assert said.startswith("hemf serve: RuntimeError in ")
    assert "SECRET" not in said


def test_every_answer_has_a_strict_policy() -> None:
    for guard in (guarded(), guarded(TOKEN)):
        headers = request(guard)[2]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_a_token_file_must_hold_a_token(tmp_path) -> None:
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    assert read_token(file) == hashlib.sha256(TOKEN).digest()
    for bad in (
        "",
        "short",
        "two words 0123456789",
        "0123456789abcdef\n0123456789abcdef",
        "ü" * 20,
        "x" * 2000,
    ):
        file.write_text(bad)
        with pytest.raises(HemfError, match="must hold one line of 16 to 1024"):
            read_token(file)
    with pytest.raises(HemfError, match="cannot read --token-file"):
        read_token(tmp_path / "gone")


def test_loopback_addresses_are_known() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "hospital.example", "")))


def test_a_port_in_use_is_one_line() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(HemfError, match=r"cannot listen on .* port"):
        listen("127.0.0.1", first.getsockname()[1])
    with pytest.raises(HemfError, match="cannot listen on"):
        listen("no-such-host.invalid", 8000)


async def lifeless(scope: Any, receive: Any, send: Any) -> None:
    """The guard's application, for uvicorn, which wants a life span."""
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})
        return
    await guarded(limits=IMPATIENT)(scope, receive, send)


def test_connections_whose_head_does_not_come_are_closed_and_a_slow_body_is_told() -> None:
    def ask(address: tuple[str, int], data: bytes) -> bytes:
        with socket.create_connection(address, timeout=20) as client:
            client.sendall(data)
            return client.makefile("rb").read()

    async def all_of_it() -> list[bytes]:
        server = uvicorn.Server(configured(lifeless, IMPATIENT))
        with listen("127.0.0.1", 0) as opened:
            running = asyncio.create_task(server._serve([opened]))
            head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
            texts = (b"", b"POST /pre", head, head + b"\r\nabc", head + b"Connection: close\r\n\r\nabcdefghi")
            found = await asyncio.gather(*(asyncio.to_thread(ask, opened.getsockname(), t) for t in texts))
            server.should_exit = True
            await running
            return found

    nothing, cut, without_end, slow, whole = asyncio.run(all_of_it())
    assert (nothing, cut, without_end) == (b"", b"", b"")
    assert b" 408 " in slow
    assert b"\r\n9\r\n" in whole
