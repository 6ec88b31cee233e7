"""From an image that waits to results beside the queue, or to a reason."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from node_files import image, saved
from pydicom.dataset import Dataset
from serving_model import CLASSES, save_export

import hemf
from hemf.core.errors import HemfError
from hemf.data.image import limits
from hemf.node import queue as queue_module
from hemf.node import worker as module
from hemf.node.queue import Queue
from hemf.node.results.about import About
from hemf.node.source import Filter
from hemf.node.status import status_lines
from hemf.node.worker import Worker


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return hemf.load(save_export(tmp_path_factory.mktemp("model") / "linear"))


@pytest.fixture
def queue(tmp_path: Path):
    one = Queue(tmp_path / "spool", "model")
    yield one
    one.close()


@pytest.fixture
def worker(queue, model):
    return Worker(queue, model, About("linear", "ab" * 32, tuple(CLASSES)), Filter({"CT"}), overlay=False)


def accept(queue: Queue, made: Dataset | bytes, instance: str | None = None) -> str:
    path = queue.images / f"{len(list(queue.images.iterdir()))}.dcm"
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        saved(path, made)
        instance = instance or made.SOPInstanceUID
    assert instance is not None
    queue.accept(instance, path)
    return instance


def reasons(queue: Queue) -> str:
    return "\n".join(status_lines(queue.images.parent))


def test_the_report_holds_the_numbers_of_predict(queue, worker, model, tmp_path):
    one = image()
    wanted = model.predict(saved(tmp_path / "one.dcm", one), batch_size=1)[0]
    accept(queue, one)
    assert worker.step()
    assert not worker.step()
    (result,) = queue.due()
    report = pydicom.dcmread(result.path)
    assert report.SOPInstanceUID == result.sop_instance
    group = report.ContentSequence[-1].ContentSequence[0].ContentSequence
    found = [item.MeasuredValueSequence[0].FloatingPointValue for item in group if item.ValueType == "NUM"]
    assert found == list(wanted.probabilities.values())


def multi_frame() -> Dataset:
    made = image()
    made.NumberOfFrames, made.PixelData = 2, made.PixelData * 2
    return made


def black() -> Dataset:
    made = image()
    made.PixelData = bytes(len(made.PixelData))
    return made


def torn() -> Dataset:
    made = image()
    made.PixelData = made.PixelData[:100]
    return made


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: image(Modality="SR"), "its Modality is not CT"),
        (lambda: image(Manufacturer="HEMF "), "it was made by a hemf node"),
        (multi_frame, "the image holds 2 frames"),
        (black, "it shows nothing"),
        (torn, "the image cannot be shown"),
        (lambda: image(StudyInstanceUID="1.2", PixelData=None), "the image is no DICOM image but a report"),
        (lambda: b"\0" * 128 + b"DICM\x08\x00\x05\x00SECRET-7" * 99, "its header"),
        (lambda: b"SECRET-7", "its header"),
    ],
    ids=["modality", "own", "frames", "black", "torn", "no pixels", "damaged", "no DICOM"],
)
def test_what_cannot_be_judged_gets_a_reason(queue, worker, made, reason):
    instance = accept(queue, made(), "1.2.3" if isinstance(made(), bytes) else None)
    assert worker.step()
    assert queue.due() == []
    said = reasons(queue)
    assert f"{instance}  {reason}" in said
    assert "SECRET" not in said
    assert "Müller" not in said
    assert list(queue.images.iterdir()) == []


def test_a_file_that_is_too_large_is_not_read(queue, worker, monkeypatch):
    accept(queue, image())
    monkeypatch.setattr(limits, "_max_pixels", 100)
    worker.step()
    assert "of any image that is read" in reasons(queue)


@settings(max_examples=20)
@given(
    damage=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    end=st.integers(0, 7000),
)
def test_whatever_is_sent_has_a_result_or_a_reason(model, damage, end):
    with tempfile.TemporaryDirectory() as folder:
        queue = Queue(Path(folder) / "spool", "model")
        worker = Worker(queue, model, About("linear", "ab" * 32, tuple(CLASSES)), Filter(), overlay=False)
        data = bytearray(saved(Path(folder) / "whole.dcm", image(SOPInstanceUID="1.2.3")).read_bytes()[:end])
        for place, value in damage:
            if place < len(data):
                data[place] = value
        accept(queue, bytes(data), "1.2.3")
        assert worker.step()
        said = reasons(queue)
        assert len(queue.due()) == ("1  classified" in said) != ("1  without a result" in said)
        assert "SECRET" not in said
        queue.close()


def test_an_image_under_another_name_is_refused(queue, worker):
    accept(queue, image(), "1.2.3")
    worker.step()
    assert "another than its sender said" in reasons(queue)


def test_an_own_result_that_is_sent_to_the_node_is_refused(queue, worker):
    accept(queue, image())
    worker.step()
    (result,) = queue.due()
    accept(queue, pydicom.dcmread(result.path))
    worker.step()
    assert len(queue.due()) == 1
    assert "it was made by this node" in reasons(queue)


def test_a_report_that_cannot_be_made_is_a_reason_without_words(queue, worker, monkeypatch):
    def fails(*_: object) -> Dataset:
        raise TypeError("SECRET-7 is no name")

    monkeypatch.setattr(module, "structured_report", fails)
    accept(queue, image())
    worker.step()
    assert "no report can be made of it (TypeError)" in reasons(queue)
    assert "SECRET" not in reasons(queue)


@pytest.mark.parametrize(
    "error", [HemfError("cannot write: the disk is full"), OSError("no"), RuntimeError("no")]
)
def test_what_is_not_the_fault_of_the_image_is_tried_again(queue, worker, monkeypatch, error):
    def fails(*_: object) -> None:
        raise error

    accept(queue, image())
    name = "_prediction" if isinstance(error, RuntimeError) else "_written"
    monkeypatch.setattr(worker, name, fails)
    with pytest.raises(type(error)):
        worker.step()
    assert isinstance(error, RuntimeError) == ("failed with RuntimeError (1 tries)" in reasons(queue))
    monkeypatch.undo()
    worker.step()
    assert len(queue.due()) == 1


def test_an_image_that_ends_the_process_does_not_hold_up_others(queue, worker, monkeypatch):
    accept(queue, image(0))
    first = queue.next_waiting()
    assert [queue.next_waiting(), queue.next_waiting()] == [first, first]
    accept(queue, image(1))
    assert worker.step()
    assert [one.image for one in queue.due()] == [2]
    assert not worker.step()
    assert f"{first.sop_instance}  the process ended (3 tries)" in reasons(queue)
    monkeypatch.setattr(queue_module.time, "time", lambda: original() + 2)
    assert worker.step()
    assert [one.image for one in queue.due()] == [1, 2]
    assert "tries" not in reasons(queue)


original = time.time


def test_large_overlays_are_shrunk(monkeypatch, tmp_path):
    from serving_model import save

    from hemf.node.results import secondary_capture

    monkeypatch.setattr(secondary_capture, "MOST_SIDE", 30)
    model = hemf.load(save(tmp_path / "model"), "fp32", "cpu")
    picture, words = secondary_capture.heat_picture(model, saved(tmp_path / "a.dcm", image()), "malignant")
    assert picture.size == (30, 25)
    assert words == "Grad-CAM++ evidence for malignant"
    assert np.asarray(picture).std() > 0
