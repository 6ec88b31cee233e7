"""Results on their way: receivers that are down, that refuse, that know the object already."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pydicom
import pytest
from node_files import ABOUT, FOUND, free_port, image, receiving, saved, wait_for
from pynetdicom.presentation import build_context

from hemf.core.errors import HemfError
from hemf.node import destinations
from hemf.node import queue as module
from hemf.node.destinations import NotTaken, Peer, Unreachable, WebServer, read_login
from hemf.node.queue import Queue, Result, pause
from hemf.node.results.about import new_uid
from hemf.node.results.structured_report import structured_report
from hemf.node.sender import Sender
from hemf.node.source import read_source
from hemf.node.status import status_lines
from hemf.node.tls import client_context, server_context


@pytest.fixture
def queue(tmp_path: Path):
    one = Queue(tmp_path / "spool", "model")
    yield one
    one.close()


def result(queue: Queue, seed: int = 0) -> Result:
    """A report that waits to be sent."""
    path = saved(queue.images / f"{seed}.dcm", image(seed))
    queue.accept(f"1.2.{seed}", path)
    waiting = queue.next_waiting()
    assert waiting is not None
    report = structured_report(FOUND, read_source(path), ABOUT, new_uid(), waiting.id)
    made = Result(report.SOPInstanceUID, waiting.id, queue.results / f"{report.SOPInstanceUID}.dcm")
    saved(made.path, report)
    queue.made(waiting, [made])
    return made


def status(queue: Queue) -> str:
    return "\n".join(status_lines(queue.images.parent))


def peer(port: int) -> Peer:
    return Peer.parse(f"PACS@127.0.0.1:{port}", "HEMF")


def step(queue: Queue, port: int) -> None:
    Sender(queue, peer(port)).step(threading.Event())


def test_a_result_arrives_as_it_was_made(queue):
    made = result(queue)
    wanted = pydicom.dcmread(made.path)
    with receiving() as pacs:
        step(queue, pacs.port)
        (found,) = pacs.objects()
    assert found.to_json_dict() == wanted.to_json_dict()
    assert not made.path.exists()
    assert "1  sent" in status(queue)


def test_what_is_refused_is_sent_again_and_holds_up_nothing(queue, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)
    first, second = result(queue, 0), result(queue, 1)
    with receiving() as pacs:
        pacs.answers = [0xA700]
        step(queue, pacs.port)
        assert list(pacs.got) == [second.sop_instance]
        assert f"{first.sop_instance}  it answers with the status 0xA700 (1 tries)" in status(queue)
        step(queue, pacs.port)
        assert list(pacs.got) == [second.sop_instance, first.sop_instance]
    assert "2  sent" in status(queue)


def test_a_result_whose_answer_does_not_come_is_sent_again_as_it_was(queue, monkeypatch):
    made = result(queue)
    with receiving() as pacs:
        monkeypatch.setattr(destinations, "ANSWER_SECONDS", 0.3)
        pacs.delay = 2.0
        with pytest.raises(Unreachable, match="did not come in time"):
            step(queue, pacs.port)
        assert [one.sop_instance for one in queue.due()] == [made.sop_instance]
        monkeypatch.undo()
        pacs.delay = 0.0
        step(queue, pacs.port)
        (forms,) = pacs.got.values()
    assert len(forms) == 2
    assert forms[0] == forms[1]
    assert queue.due() == []


@pytest.mark.parametrize("answer", [0xB000, 0x0111])
def test_changes_and_duplicates_count_as_taken(queue, answer):
    result(queue)
    with receiving() as pacs:
        pacs.answers = [answer]
        step(queue, pacs.port)
    assert queue.due() == []
    assert "1  sent" in status(queue)


def test_a_pacs_that_is_down_is_waited_for(queue, monkeypatch, capfd):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    result(queue)
    port, ending = free_port(), threading.Event()
    thread = threading.Thread(target=Sender(queue, peer(port)).run, args=[ending])
    thread.start()
    wait_for(lambda: f"cannot send to PACS@127.0.0.1:{port}" in status(queue))
    with receiving(port) as pacs:
        wait_for(lambda: "1  sent" in status(queue))
        assert len(pacs.got) == 1
    ending.set()
    thread.join(30)
    assert "cannot send" not in status(queue)
    said = capfd.readouterr().err
    assert said.count("cannot send") == said.count("again") == 1


def test_a_pacs_that_takes_no_reports_says_so(queue):
    result(queue)
    with receiving(classes=[build_context("1.2.840.10008.5.1.4.1.1.7")]) as pacs:
        step(queue, pacs.port)
    assert "it does not accept Comprehensive 3D SR Storage" in status(queue)
    with (
        receiving(classes=[build_context("1.2.840.10008.1.1")]) as pacs,
        pytest.raises(Unreachable, match="neither reports"),
        peer(pacs.port).opened(),
    ):
        pass


def test_a_host_that_is_not_known_is_waited_for():
    with (
        pytest.raises(Unreachable, match=r"not known|resolution"),
        Peer("PACS", "no host", 104, "HEMF").opened(),
    ):
        pass


def test_a_pacs_of_another_name_says_so():
    with receiving(title="RIGHT") as pacs:
        there = peer(pacs.port)
        with pytest.raises(Unreachable, match="called ae title not recognised"), there.opened():
            pass


def test_a_pacs_shows_a_certificate(queue, certificates):
    result(queue)
    context = server_context(str(certificates / "node.pem"), str(certificates / "node.key"), None)
    with receiving(tls=context) as pacs:
        for name, is_believed in (("stranger", False), ("node", True)):
            tls = client_context(None, None, str(certificates / f"{name}.pem"))
            sender = Sender(queue, Peer.parse(f"PACS@127.0.0.1:{pacs.port}", "HEMF", tls))
            if is_believed:
                sender.step(threading.Event())
            else:
                with pytest.raises(Unreachable, match="no answer"):
                    sender.step(threading.Event())
        assert len(pacs.got) == 1


def test_implicit_receivers_get_it_too(queue):
    made = result(queue)
    wanted = pydicom.dcmread(made.path)
    implicit = [build_context("1.2.840.10008.5.1.4.1.1.88.34", ["1.2.840.10008.1.2"])]
    with receiving(classes=implicit) as pacs:
        step(queue, pacs.port)
        assert pacs.objects()[0].to_json_dict() == wanted.to_json_dict()


def test_pauses_grow_and_are_bounded():
    assert [0.8 * 2**tries <= pause(tries) <= 1.2 * 2**tries for tries in range(8)] == [True] * 8
    assert 240 <= pause(30) <= 360
    assert 240 <= pause(10**6) <= 360


class Web:
    """A web server that remembers what was posted, and answers what it is told to."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""


@contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.got.append((self.path, dict(self.headers), body))
            code, answer = web.answers.pop(0)
            data = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    web.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_address[1]}/dicom-web/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def failed(reason: int) -> dict[str, object]:
    return {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [reason]}}]}}


@pytest.mark.parametrize(
    ("code", "answer", "raised", "message"),
    [
        (200, {}, None, ""),
        (202, failed(0xB000) | {"00081198": {"vr": "SQ"}}, None, ""),
        (409, failed(0x0111), None, ""),
        (409, failed(0xA900), NotTaken, "for the reason 0xA900"),
        (202, failed(0xA700), NotTaken, "for the reason 0xA700"),
        (400, {}, NotTaken, "the status 400"),
        (302, {}, NotTaken, "the status 302"),
        (401, [], Unreachable, "the status 401"),
        (503, {}, Unreachable, "the status 503"),
    ],
)
def test_what_a_web_server_answers(tmp_path, code, answer, raised, message):
    path = saved(tmp_path / "a.dcm", image())
    (tmp_path / "login").write_text("user:pass word\n")
    with web_server() as web:
        web.answers = [(code, answer)]
        with WebServer.parse(web.url, str(tmp_path / "login"), None).opened() as send:
            if raised is None:
                send(path)
            else:
                with pytest.raises(raised, match=message):
                    send(path)
        ((where, headers, body),) = web.got
    assert where == "/dicom-web/studies"
    assert headers["Authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    (part,) = message_from_bytes(head + body).get_payload()
    assert part.get_content_type() == "application/dicom"
    assert path.read_bytes() in body


def test_a_web_server_shows_a_certificate(tmp_path, certificates):
    path, node, stranger = (
        saved(tmp_path / "a.dcm", image()),
        certificates / "node",
        certificates / "stranger",
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{node}.pem", f"{node}.key")
    with web_server(context) as web:
        web.answers = [(200, {})]
        with WebServer.parse(web.url, None, client_context(None, None, f"{node}.pem")).opened() as send:
            send(path)
        for authorities in (f"{stranger}.pem", None):
            server = WebServer.parse(web.url, None, client_context(None, None, authorities))
            with server.opened() as send, pytest.raises(Unreachable, match="SSLError"):
                send(path)
    assert len(web.got) == 1


def test_a_web_server_that_is_down_is_waited_for(tmp_path):
    server = WebServer.parse(f"http://127.0.0.1:{free_port()}", None, None)
    with server.opened() as send, pytest.raises(Unreachable, match="no answer"):
        send(saved(tmp_path / "a.dcm", image()))


@pytest.mark.parametrize(
    "text", ["PACS", "PACS@host", "@host:1", "PACS@host:0", "PACS@host:65536", "A@b:1:2", "x" * 17 + "@h:1"]
)
def test_addresses_of_another_form_are_refused(text):
    with pytest.raises(HemfError, match="AET@host:port"):
        Peer.parse(text, "HEMF")


def test_addresses_are_read():
    one = Peer.parse("CT 1@[::1]:104", "HEMF")
    assert (one.title, one.host, one.port) == ("CT 1", "::1", 104)


@pytest.mark.parametrize(
    ("text", "message"),
    [("ftp://host", "must be http"), ("http://", "must be http"), ("http://u:p@host", "give --login-file")],
)
def test_web_addresses_of_another_form_are_refused(text, message):
    with pytest.raises(HemfError, match=message):
        WebServer.parse(text, None, None)


def test_logins(tmp_path):
    file = tmp_path / "login"
    file.write_text("abc.def\n")
    assert read_login(str(file)) == "Bearer abc.def"
    for bad in ("", "two\nlines", "to ken"):
        file.write_text(bad)
        with pytest.raises(HemfError, match="--login-file"):
            read_login(str(file))
    with pytest.raises(HemfError, match="--login-file"):
        read_login(str(tmp_path / "none"))
