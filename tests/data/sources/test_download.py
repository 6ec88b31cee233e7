"""Downloads go on where they were cut, and zips cannot write outside their folder. No network is used."""

import contextlib
import hashlib
import http.server
import io
import random
import shutil
import stat
import threading
import zipfile
from pathlib import Path

import pytest

from hemf.commands.data.prepare import prepare
from hemf.core.errors import HemfError
from hemf.data.sources.download import CHUNK, Download, fetch, unpack

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves one file with ETag and Range; ``cuts`` are the bytes that it sends before it hangs up."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.ranges, self.cuts = CONTENT, '"one"', True, []
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/release.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path != "/release.zip":
            return self.send_error(404)
        same = self.headers.get("If-Range") == self.server.etag
        start = (
            int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and same and self.server.ranges else 0
        )
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[:cut])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def get(server: Server, folder: Path, attempts: int = 3, **known: str) -> list[dict[str, str]]:
    return fetch([Download(server.url, **known)], folder, attempts=attempts, wait=0)


def test_a_file_arrives_and_is_not_fetched_twice(server, tmp_path):
    assert get(server, tmp_path / "new") == [{"url": server.url, "sha256": SHA256}]
    assert (tmp_path / "new" / "release.zip").read_bytes() == CONTENT
    assert get(server, tmp_path / "new", sha256=SHA256) == [{"url": server.url, "sha256": SHA256}]
    assert len(server.asked) == 1
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["release.zip"]


def test_a_cut_connection_is_resumed(server, tmp_path):
    server.cuts = [40 * CHUNK, 10 * CHUNK + 1]
    get(server, tmp_path)
    assert (tmp_path / "release.zip").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={40 * CHUNK}-", f"bytes={50 * CHUNK}-"]


def test_a_later_run_goes_on_where_the_first_gave_up(server, tmp_path):
    server.cuts = [30 * CHUNK]
    with pytest.raises(HemfError, match=r"cannot download .* --root .* without --download"):
        get(server, tmp_path, attempts=1)
    assert not (tmp_path / "release.zip").exists()
    get(server, tmp_path, attempts=1)
    assert (tmp_path / "release.zip").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={30 * CHUNK}-"]


@pytest.mark.parametrize("change", ["file", "no ranges", "no etag"])
def test_what_cannot_be_resumed_starts_again(server, tmp_path, change):
    if change == "no etag":
        server.etag = ""
    server.cuts = [30 * CHUNK]
    with pytest.raises(HemfError):
        get(server, tmp_path, attempts=1)
    if change == "file":
        server.content, server.etag = CONTENT[::-1], '"two"'
    server.ranges = change != "no ranges"
    get(server, tmp_path, attempts=1)
    assert (tmp_path / "release.zip").read_bytes() == server.content


def test_another_file_than_published_is_refused(server, tmp_path):
    with pytest.raises(HemfError, match="not the file that was published"):
        get(server, tmp_path, sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_without_network_or_file_it_says_what_to_do(server, tmp_path):
    with pytest.raises(HemfError, match="404") as missing:
        fetch([Download(server.url + "x")], tmp_path, attempts=1)
    server.shutdown()
    server.server_close()
    with pytest.raises(
        HemfError, match=f"cannot download {server.url} .no connection.*check the network"
    ) as unreachable:
        get(server, tmp_path, attempts=2)
    for caught in (missing, unreachable):
        assert "\n" not in str(caught.value)
        assert f"--root {tmp_path} without --download" in str(caught.value)


def test_prepare_downloads_unpacks_and_notes_what_it_fetched(server, tmp_path, monkeypatch):
    from dataclasses import replace

    from PIL import Image

    from hemf.data.sources import SOURCES
    from hemf.data.sources.kvasir import CLASSES

    image, release = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "JPEG")
    with zipfile.ZipFile(release, "w") as archive:
        for label in CLASSES:
            for i in range(10):
                archive.writestr(f"kvasir-dataset/{label}/{i}.jpg", image.getvalue())
    server.content = release.getvalue()
    local = replace(SOURCES["kvasir"], downloads=(Download(server.url, "kvasir-dataset.zip"),))
    monkeypatch.setitem(SOURCES, "kvasir", local)
    monkeypatch.chdir(tmp_path)
    data = prepare("kvasir", download=True, check_counts=False)
    assert len(data.samples) == 80
    assert data.root == (tmp_path / "kvasir-release" / "kvasir-dataset").resolve()
    assert data.info["downloads"][0]["url"] == server.url
    assert (tmp_path / "prepared" / "kvasir" / "manifest.csv").is_file()


def zip_of(path: Path, members: dict[str, str], mode: int = stat.S_IFREG | 0o644) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it stands: the constructor would mend it
            info.external_attr = mode << 16
            archive.writestr(info, text)
    return path


def test_a_zip_becomes_the_folder_of_its_name(tmp_path):
    inner = zip_of(
        tmp_path / "a.zip", {"a/1.txt": "1", "a/b/2.txt": "2", "__MACOSX/a/._1.txt": "", "LICENSE": "x"}
    )
    assert sorted(p.name for p in unpack(inner).rglob("*")) == ["1.txt", "2.txt", "b"]
    flat = zip_of(tmp_path / "c.zip", {"1.txt": "1", ".DS_Store": ""})
    assert [p.name for p in unpack(flat).iterdir()] == ["1.txt"]
    assert unpack(flat) == tmp_path / "c"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "a.zip", "c", "c.zip"]


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/tmp/evil",
        "..\\evil",
        "C:\\evil",
        "a\\..\\..\\evil",
        "\\\\host\\evil",
        "C:evil",
    ],
)
def test_no_member_leaves_the_folder(tmp_path, name):
    (tmp_path / "in").mkdir()
    archive = zip_of(tmp_path / "in" / "bad.zip", {"good": "1", name: "2"})
    with pytest.raises(HemfError, match="leads outside its folder"):
        unpack(archive)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["bad.zip", "in"]


def test_links_and_damage_are_refused(tmp_path):
    link = zip_of(tmp_path / "link.zip", {"link": "/etc/passwd"}, stat.S_IFLNK | 0o777)
    with pytest.raises(HemfError, match="'link', which leads outside"):
        unpack(link)
    whole = zip_of(tmp_path / "whole.zip", {"a": "text that will be damaged"})
    (tmp_path / "cut.zip").write_bytes(whole.read_bytes()[:-30])
    (tmp_path / "bad.zip").write_bytes(whole.read_bytes().replace(b"damaged", b"DAMAGED"))
    for name in ("cut", "bad"):
        with pytest.raises(HemfError, match="fetch it again"):
            unpack(tmp_path / f"{name}.zip")
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_stream_is_refused_wherever_the_damage_is(tmp_path, how):
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", how) as file:
        file.writestr("a/1", random.Random(0).randbytes(300) * 3)
    whole = (tmp_path / "whole.zip").read_bytes()
    for i in range(0, len(whole), 7):
        (tmp_path / f"{i}.zip").write_bytes(
            whole[:i] + bytes(255 - byte for byte in whole[i : i + 3]) + whole[i + 3 :]
        )
        with contextlib.suppress(HemfError):  # some bytes tell nothing: times, attributes
            unpack(tmp_path / f"{i}.zip")


def test_a_name_such_as_v1_0_keeps_its_dots(tmp_path):
    assert unpack(zip_of(tmp_path / "data-v1.0.zip", {"a..b/1": "x"})).name == "data-v1.0"


def test_a_zip_that_grows_out_of_proportion_is_refused(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/zeros", bytes(150_000_000))
    with pytest.raises(HemfError, match="times its size"):
        unpack(archive)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_a_zip_that_the_disk_cannot_hold_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    archive = zip_of(tmp_path / "a.zip", {"a/1.txt": "1" * 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(HemfError, match=r"0\.0 GB are free"):
        unpack(archive)
