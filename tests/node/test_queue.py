"""The queue: rows and files at every step, and what a new process finds."""

import subprocess
import sys
from pathlib import Path

import pytest

from hemf.core.errors import HemfError
from hemf.node.queue import Queue, Result, Waiting


@pytest.fixture
def queue(tmp_path: Path):
    one = Queue(tmp_path / "spool", "model")
    yield one
    one.close()


def arrived(queue: Queue, instance: str, name: str = "a.dcm") -> bool:
    file = queue.images / name
    file.write_bytes(b"pixels")
    return queue.accept(instance, file)


def made(queue: Queue, image: Waiting, *instances: str) -> list[Result]:
    results = [Result(one, image.id, queue.results / f"{one}.dcm") for one in instances]
    for one in results:
        one.path.write_bytes(b"report")
    queue.made(image, results)
    return results


def files(queue: Queue) -> list[str]:
    return sorted(file.name for folder in (queue.images, queue.results) for file in folder.iterdir())


def test_an_image_goes_its_way_and_leaves_no_file(queue):
    assert arrived(queue, "1.2")
    waiting = queue.next_waiting()
    assert waiting is not None
    assert (waiting.sop_instance, waiting.path.read_bytes()) == ("1.2", b"pixels")
    report, overlay = made(queue, waiting, "2.1", "2.2")
    assert queue.next_waiting() is None
    assert files(queue) == ["2.1.dcm", "2.2.dcm"]
    assert queue.due() == [report, overlay]
    queue.sent(report)
    assert queue.due() == [overlay]
    queue.sent(overlay)
    assert queue.due() == []
    assert files(queue) == []


def test_the_same_image_again_is_known_for_ever(queue):
    assert arrived(queue, "1.2")
    assert not arrived(queue, "1.2", "b.dcm")
    assert files(queue) == ["a.dcm"]
    queue.refuse(queue.next_waiting(), "no")
    assert not arrived(queue, "1.2", "c.dcm")
    assert queue.next_waiting() is None
    assert files(queue) == []


def test_what_is_not_done_is_found_by_the_next_process_and_leftovers_are_removed(queue, tmp_path):
    for number in range(3):
        arrived(queue, f"1.{number}", f"{number}.dcm")
    first = queue.next_waiting()
    made(queue, first, "2.0")
    (queue.images / "tmpabc.dcm").write_bytes(b"half")
    (queue.results / "2.9.dcm").write_bytes(b"never noted")
    queue.close()
    again = Queue(tmp_path / "spool", "model")
    assert files(again) == ["1.dcm", "2.0.dcm", "2.dcm"]
    assert [one.sop_instance for one in again.due()] == ["2.0"]
    assert [again.next_waiting().sop_instance for _ in range(4)] == ["1.1", "1.1", "1.1", "1.2"]
    again.close()
    queue.__init__(tmp_path / "spool", "model")  # for the fixture to close


def test_a_result_that_is_not_taken_waits(queue):
    arrived(queue, "1.2")
    (result,) = made(queue, queue.next_waiting(), "2.1")
    queue.postpone(result, 60, "no room")
    assert queue.due() == []
    queue.postpone(result, -1, "no room")
    assert [one.tries for one in queue.due()] == [2]


def test_only_its_user_may_look_into_it(queue, tmp_path):
    inside = [tmp_path / "spool", *(tmp_path / "spool").iterdir()]
    assert len(inside) >= 5
    assert {file.stat().st_mode & 0o077 for file in inside} == {0}


def test_a_queue_is_of_one_model_and_one_process(queue, tmp_path):
    code = "import sys, pathlib, hemf.node.queue as q; q.Queue(pathlib.Path(sys.argv[1]), 'model')"
    command = [sys.executable, "-c", code, str(tmp_path / "spool")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "another node works on" in done.stderr
    queue.close()
    with pytest.raises(HemfError, match="of another model"):
        Queue(tmp_path / "spool", "other")
    queue.__init__(tmp_path / "spool", "model")


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.dcm").write_text("")
    with pytest.raises(HemfError, match="holds other things than a queue"):
        Queue(tmp_path, "model")
    assert [str(file.relative_to(tmp_path)) for file in sorted(tmp_path.rglob("*"))] == [
        "images",
        "images/mine.dcm",
    ]


def test_a_queue_whose_making_was_killed_is_made(tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / ".lock").write_text("")
    Queue(tmp_path / "spool", "model").close()


def test_a_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HemfError, match="cannot keep a queue"):
        Queue(tmp_path / "file", "model")
