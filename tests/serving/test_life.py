"""A server's life: many clients, a token, an exchange of models, a sudden end and an orderly one."""

import http.client
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from serving_model import TOKEN, Server, save, save_export, started

import hemf
from hemf.cli.app import main
from hemf.core.errors import HemfError
from hemf.inference.identity import named
from hemf.serving.models import Models

posix = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")


def resident(server: Server) -> int:
    """Bytes of memory that the server holds."""
    text = Path(f"/proc/{server.process.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def clients(
    server: Server, data: bytes, number: int, seconds: float, headers: dict[str, str]
) -> list[tuple[int, str]]:
    """Let clients ask again and again, each on its own connection; returns statuses and bodies."""
    found, until = [], time.monotonic() + seconds
    head = {"Content-Type": "image/png"} | headers

    def client() -> None:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        while time.monotonic() < until:
            connection.request("POST", "/predict", data, head)
            answer = connection.getresponse()
            found.append((answer.status, answer.read().decode()))
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(number)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return found


def test_fifty_clients_are_all_answered_alike_and_memory_stays(server, pictures) -> None:
    data = pictures[0].read_bytes()
    clients(server, data, 50, 1.0, {})
    before = resident(server)
    found = clients(server, data, 50, 3.0, {})
    assert len(found) >= 50
    assert {status for status, _ in found} == {200}
    shares = [json.loads(body)["images"][0]["probabilities"] for _, body in found]
    for name, share in shares[0].items():  # in batches of different sizes the last bits may differ
        assert max(abs(one[name] - share) for one in shares) < 1e-6
    assert resident(server) < before + (64 << 20)


def begun(server: Server, data: bytes) -> socket.socket:
    """A request of which half has been sent."""
    address = urlsplit(server.url)
    client = socket.create_connection((address.hostname, address.port), timeout=60)
    lines = ["POST /predict HTTP/1.1", "Host: localhost", "Content-Type: image/png", "Connection: close"]
    head = "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""])
    client.sendall(head.encode() + data[: len(data) // 2])
    return client


def test_a_client_that_goes_away_is_no_failure(server, pictures) -> None:
    begun(server, pictures[0].read_bytes()).close()
    counted = 'hemf_requests_total{path="/predict",status="499"}'
    wait_for(lambda: counted in requests.get(f"{server.url}/metrics").text)
    assert server.words() == ""


@pytest.fixture(scope="module")
def mortal(model: Path, tmp_path_factory):
    """A server of two models behind a token, with the folder of the first, which may be changed."""
    home = tmp_path_factory.mktemp("mortal")
    own = shutil.copytree(model, home / "own")
    (home / "token").write_text(TOKEN)
    options = ["--model", f"second={model}", "--token-file", str(home / "token")]
    with started(home / "tmp", f"first={own}", *options) as server:
        yield server, own


def test_the_token_is_needed_but_for_page_and_health(mortal, pictures) -> None:
    server, _ = mortal
    url, data = f"{server.url}/predict?model=second", pictures[0].read_bytes()
    head = {"Content-Type": "image/png"}
    assert requests.post(url, data, headers=head).status_code == 401
    assert requests.get(server.url).status_code == requests.get(f"{server.url}/readyz").status_code == 200
    answer = requests.post(url, data, headers=head | {"Authorization": f"Bearer {TOKEN}"})
    assert answer.json()["model"]["name"] == "second"
    assert TOKEN not in server.words()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@posix
def test_models_are_exchanged_at_sighup_without_a_lost_request(mortal, pictures, tmp_path) -> None:
    server, own = mortal
    head = {"Authorization": f"Bearer {TOKEN}"}

    def hashes() -> list[str]:
        found = requests.get(f"{server.url}/models", headers=head).json()["models"]
        return [one["sha256"] for one in found]

    before, found = hashes(), []
    load = threading.Thread(
        target=lambda: found.extend(clients(server, pictures[0].read_bytes(), 8, 4.0, head))
    )
    load.start()
    shutil.copytree(save(tmp_path / "new", seed=1), own, dirs_exist_ok=True)
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reloaded 2 models" in server.words())
    load.join()
    after = hashes()
    assert after[0] != before[0]
    assert after[1] == before[1]
    assert {status for status, _ in found} == {200}
    assert (
        requests.post(
            f"{server.url}/predict", pictures[0].read_bytes(), headers=head | {"Content-Type": "image/png"}
        ).json()["model"]["sha256"]
        == after[0]
    )
    (own / "config.json").write_text("{")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "not reloaded, all stays as it was" in server.words())
    assert hashes() == after


@posix
@pytest.mark.slow
def test_killed_it_starts_again_and_at_sigterm_it_answers_what_it_has_begun(
    model, pictures, tmp_path
) -> None:
    data = pictures[0].read_bytes()
    with started(tmp_path / "a", str(model)) as first:
        port = str(urlsplit(first.url).port)
        said = requests.post(f"{first.url}/predict", data, headers={"Content-Type": "image/png"}).json()
        with begun(first, data):
            first.process.kill()
            assert first.process.wait(60) == -signal.SIGKILL
    with started(tmp_path / "b", str(model), "--port", port) as second, begun(second, data) as client:
        assert requests.get(f"{second.url}/healthz").status_code == 200
        second.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        client.sendall(data[len(data) // 2 :])
        answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == said
        assert second.process.wait(60) == 0
        assert second.words() == ""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc here")
def test_an_export_is_served_without_torch(pictures, files_of, tmp_path) -> None:
    folder = save_export(tmp_path / "export")
    with started(tmp_path / "tmp", str(folder)) as server:
        said = requests.post(f"{server.url}/predict", files=files_of(pictures)).json()["images"]
        heat = requests.post(f"{server.url}/explain", files=files_of(pictures[:1]))
        libraries = Path(f"/proc/{server.process.pid}/maps").read_text()
    found = hemf.load(folder).predict(pictures)
    assert [one["probabilities"] for one in said] == [one.probabilities for one in found]
    assert heat.status_code == 501
    assert heat.json()["error"] == "export is an export, which cannot show where it looks; serve its run"
    assert "onnxruntime" in libraries
    assert "libtorch" not in libraries


def test_a_public_address_needs_a_token(model, capsys) -> None:
    assert main(["serve", str(model), "--host", "0.0.0.0"]) == 2
    assert "--host 0.0.0.0 lets other machines in; protect it with --token-file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-size", "0"], "must be at least 1"),
        (["--timeout", "0"], "--timeout above 0"),
        (["--model", "a"], "--model is a; give name=PATH"),
        (["--model", "lesions=x"], "two models are called 'lesions'"),
        (["--model", "a/b=x"], "a model cannot be called 'a/b'"),
        (["--token-file", "gone"], "cannot read --token-file gone"),
        (["--model", "other=gone"], "gone"),
    ],
)
def test_bad_options_are_one_line(model, capsys, arguments, words) -> None:
    assert main(["serve", str(model), *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_models_are_called_as_their_folders_or_as_is_said(tmp_path) -> None:
    (tmp_path / "my run" / "model").mkdir(parents=True)
    assert list(named(str(tmp_path / "my run" / "model"), [])) == ["my-run"]
    assert named("x=a,b", ["y=c"]) == {"x": "a,b", "y": "c"}


def test_a_model_that_cannot_be_loaded_leaves_all_as_they_were(model) -> None:
    models = Models({"a": str(model)}, hemf.load)
    before = models.all()
    models.places["b"] = str(model / "gone")
    with pytest.raises(HemfError):
        models.reload()
    assert models.all() == before
