"""Images with a patient, a node in a process of its own, and receivers that remember what they were sent."""

import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.presentation import build_context
from serving_model import dicom

from hemf.inference.classifier import Prediction
from hemf.node.results.about import About

PATIENT = {
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientName": "Müller^Jörg",
    "PatientID": "SECRET-7",
    "PatientBirthDate": "19500131",
    "PatientSex": "M",
    "StudyDate": "20200131",
    "StudyTime": "120000",
    "StudyID": "S1",
    "AccessionNumber": "ACC9",
    "ReferringPhysicianName": "Groß^Anna",
    "BodyPartExamined": "CHEST",
    "SeriesNumber": 1,
    "InstanceNumber": 1,
}
ABOUT = About("lesions", "ab" * 32, ("benign", "malignant", "Übergang"), ("temperature 1.3",))
FOUND = Prediction(
    None, "malignant", {"benign": 0.1, "malignant": 0.7, "Übergang": 0.2}, ("malignant",), False
)


def image(seed: int = 0, study: str | None = None, **elements: Any) -> Dataset:
    """A CT image of noise, of a patient whose name is in Latin 1; an element that is None is left out."""
    made = pydicom.dcmread(
        io.BytesIO(dicom(np.random.default_rng(seed).integers(0, 4096, (50, 60)).astype(np.uint16)))
    )
    uids = {"StudyInstanceUID": study or generate_uid(), "SeriesInstanceUID": generate_uid()}
    for keyword, value in (PATIENT | uids | elements).items():
        if value is None:
            made.pop(keyword, None)
        else:
            setattr(made, keyword, value)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def saved(path: Path, made: Dataset) -> Path:
    """Write an image to a file."""
    made.save_as(path, enforce_file_format=True)
    return path


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def send(
    port: int, *images: Dataset, caller: str = "SCANNER", called: str = "HEMF", **tls: Any
) -> list[int | None]:
    """Send images; returns the status of each, None where there is no association or no answer."""
    ae = AE(caller)
    ae.add_requested_context(images[0].SOPClassUID, images[0].file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port, ae_title=called, **tls)
    if not association.is_established:
        return [None] * len(images)
    found = []
    for one in images:
        try:
            found.append(association.send_c_store(one).get("Status"))
        except RuntimeError:  # it has ended
            found.append(None)
    association.release()
    return found


@dataclass
class Receiver:
    """A PACS that remembers what it was sent, and answers what it is told to.

    Args:
        port: its port.
        answers: statuses of the next objects; then all are taken.
        delay: seconds before it answers.
        got: the objects by UID, each with all its forms that were sent.
    """

    port: int = 0
    answers: list[int] = field(default_factory=list)
    delay: float = 0.0
    got: dict[str, list[bytes]] = field(default_factory=dict)

    def objects(self) -> list[Dataset]:
        """The objects, in the order of their arrival."""
        return [pydicom.dcmread(io.BytesIO(forms[0])) for forms in self.got.values()]


@contextmanager
def receiving(port: int = 0, classes: Any = None, title: str = "PACS", tls: Any = None) -> Iterator[Receiver]:
    """Run a receiver inside the block."""
    one, one_at_a_time = Receiver(), threading.Lock()

    def store(event: evt.Event) -> int:
        with one_at_a_time:
            if one.answers and (status := one.answers.pop(0)):
                return status
            data = event.encoded_dataset()
            one.got.setdefault(str(event.request.AffectedSOPInstanceUID), []).append(data)
        time.sleep(one.delay)
        return 0

    ae = AE(title)
    ae.require_called_aet = True
    ae.supported_contexts = classes or [*StoragePresentationContexts, COMPREHENSIVE]
    server = ae.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)], ssl_context=tls
    )
    assert server is not None
    one.port = server.server_address[1]
    try:
        yield one
    finally:
        server.shutdown()


COMPREHENSIVE = build_context("1.2.840.10008.5.1.4.1.1.88.34")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass
class Node:
    """A node that runs.

    Args:
        port: its port.
        process: it.
        said: file with what it wrote on stderr.
    """

    port: int
    process: subprocess.Popen[str]
    said: Path


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[Node]:
    """Run ``hemf node`` inside the block, with its spool and its stderr in ``folder``."""
    command = [sys.executable, "-m", "hemf", "node", *arguments, "--spool", str(folder / "spool")]
    with open(folder / "stderr.txt", "a", encoding="utf-8") as said:
        process = subprocess.Popen(
            [*command, *([] if "--dicom-port" in arguments else ["--dicom-port", "0"])],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=os.environ | {"TMPDIR": str(folder)},
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "stderr.txt").read_text()
            yield Node(int(line.rsplit(":", 1)[1]), process, folder / "stderr.txt")
        finally:
            process.kill()
            process.wait()
