"""The side that images come in at: who may send, what is acknowledged, and what is refused."""

import socket
import ssl
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from node_files import image, send
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from hemf.core.errors import HemfError
from hemf.node import receive
from hemf.node.queue import Queue
from hemf.node.receive import listening
from hemf.node.tls import client_context, server_context

HERE = ("127.0.0.1", 0)


@pytest.fixture
def queue(tmp_path: Path):
    one = Queue(tmp_path / "spool", "model")
    yield one
    one.close()


def test_an_image_is_safe_when_it_is_acknowledged(queue):
    first, second = image(0), image(1)
    with listening(queue, "HEMF", HERE) as port:
        assert send(port, first, second) == [0, 0]
        waiting = [queue.next_waiting().sop_instance]
        stored = pydicom.dcmread(queue.next_waiting().path)
        assert send(port, first) == [0]
    assert waiting == [first.SOPInstanceUID]
    assert stored.PixelData == first.PixelData
    assert str(stored.PatientName) == "Müller^Jörg"
    assert len(list(queue.images.iterdir())) == 2


def test_an_echo_is_answered(queue):
    with listening(queue, "HEMF", HERE) as port:
        ae = AE("SCANNER")
        ae.add_requested_context(Verification)
        association = ae.associate("127.0.0.1", port, ae_title="HEMF")
        assert association.send_c_echo().Status == 0
        association.release()


def test_only_those_that_are_allowed_may_send(queue):
    with listening(queue, "HEMF", HERE, ["PACS", "CT 1"]) as port:
        assert send(port, image(), caller="OTHER") == [None]
        assert send(port, image(), caller="CT 1") == [0]
        assert send(port, image(), caller="PACS", called="WRONG") == [None]


def test_a_full_disk_is_told_to_the_sender(queue, monkeypatch):
    monkeypatch.setattr(receive, "LEAST_FREE", 2**62)
    with listening(queue, "HEMF", HERE) as port:
        assert send(port, image()) == [0xA700]
    monkeypatch.undo()
    queue.clear(0.0)
    assert queue.next_waiting() is None
    assert list(queue.images.iterdir()) == []


def test_what_does_not_reach_the_queue_is_not_acknowledged(queue, monkeypatch):
    def fails(*_: object) -> bool:
        raise OSError("no")

    monkeypatch.setattr(queue, "accept", fails)
    with listening(queue, "HEMF", HERE) as port:
        assert send(port, image()) == [0xA700]
    assert queue.next_waiting() is None


def test_an_image_of_which_half_has_come_is_no_image(queue):
    """The sender goes away within the data set."""
    with listening(queue, "HEMF", HERE) as port:
        ae, one = AE("SCANNER"), image()
        ae.add_requested_context(one.SOPClassUID, one.file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", port, ae_title="HEMF")
        halved = association.dul.socket.socket
        original = halved.send

        class Half:
            def __getattr__(self, name):
                return getattr(halved, name)

            def send(self, data):
                if len(data) > 1000:
                    original(data[:1000])
                    halved.close()
                return original(data)

        association.dul.socket.socket = Half()
        with suppress(Exception):  # of any kind, as the thread that fails may be another
            association.send_c_store(one)
        association.kill()
        assert send(port, image(1)) == [0]
    assert queue.next_waiting() is not None
    queue.clear(0.0)
    assert len(list(queue.images.iterdir())) == 1


def test_an_address_in_use_is_one_line(queue):
    with socket.socket() as taken:
        taken.bind(HERE)
        taken.listen()
        there = listening(queue, "HEMF", taken.getsockname())
        with pytest.raises(HemfError, match="give another --host or --dicom-port"), there:
            pass


def own(folder: Path, name: str, believes: str | None) -> tuple[str, str, str | None]:
    return (
        str(folder / f"{name}.pem"),
        str(folder / f"{name}.key"),
        believes and str(folder / f"{believes}.pem"),
    )


def test_encrypted_senders_show_who_they_are(queue, certificates):
    context = server_context(*own(certificates, "node", "sender"))
    known = client_context(*own(certificates, "sender", "node"))
    unknown = client_context(*own(certificates, "stranger", "node"))
    deceived = client_context(*own(certificates, "sender", "stranger"))
    with listening(queue, "HEMF", HERE, tls=context) as port:
        with socket.create_connection(("127.0.0.1", port)):  # one that says nothing
            assert send(port, image(0), tls_args=(known, "127.0.0.1")) == [0]
        assert send(port, image(1), tls_args=(unknown, "127.0.0.1")) == [None]
        assert send(port, image(1), tls_args=(deceived, "127.0.0.1")) == [None]
        assert send(port, image(1), tls_args=(known, "hospital.example")) == [None]
        assert send(port, image(1)) == [None]
        assert send(port, image(2), tls_args=(known, "127.0.0.1")) == [0]
    assert len(list(queue.images.iterdir())) == 2


def test_certificates_that_do_not_fit_are_one_line(certificates, tmp_path):
    node, key, _ = own(certificates, "node", None)
    with pytest.raises(HemfError, match="cannot be used"):
        server_context(node, str(certificates / "sender.key"), None)
    with pytest.raises(HemfError, match="No such file"):
        client_context(None, None, str(tmp_path / "none.pem"))
    with pytest.raises(HemfError, match="--tls-ca"):
        server_context(node, key, key)
    locked = ["openssl", "ec", "-in", key, "-aes128", "-passout", "pass:x", "-out", str(tmp_path / "locked")]
    subprocess.run(locked, check=True, capture_output=True)
    with pytest.raises(HemfError, match="without a password"):
        server_context(node, str(tmp_path / "locked"), None)
    assert client_context(None, None, None).verify_mode == ssl.CERT_REQUIRED


def test_the_end_waits_for_a_sender_but_not_for_ever(queue, monkeypatch):
    monkeypatch.setattr(receive, "GRACE", 0.3)
    with listening(queue, "HEMF", HERE) as port:
        ae, one = AE("SCANNER"), image()
        ae.add_requested_context(one.SOPClassUID, one.file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", port, ae_title="HEMF")
        start = time.monotonic()
    assert 0.3 <= time.monotonic() - start < 30
    association.join(30)
    assert not association.is_established
