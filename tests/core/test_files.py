import json
import math
import os
import signal
import stat
import subprocess
import sys

import pytest

from hemf import HemfError
from hemf.core.files import whole_file, write_json, write_text


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_into_folders_that_it_makes(tmp_path):
    path = tmp_path / "a" / "b" / "text.txt"
    write_text(path, "Größe\n")
    assert path.read_text(encoding="utf-8") == "Größe\n"
    assert names(path.parent) == ["text.txt"]


def test_an_exception_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail() -> None:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            assert temporary.suffix == ".bin"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


def test_a_killed_writer_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    code = (
        "import os, sys; from hemf.core.files import whole_file\n"
        "with whole_file(sys.argv[1]) as t: t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert path.read_text() == "old"


def test_the_usual_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_full_disk_is_an_error_a_user_can_mend(tmp_path):
    message = r"cannot write .*file: No space left on device.*free the disk"
    with pytest.raises(HemfError, match=message), whole_file(tmp_path / "file"):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(HemfError, match=r"cannot write .*taken"):
        write_text(tmp_path / "taken" / "file", "x")


def test_json_is_strict(tmp_path):
    write_json(tmp_path / "a.json", {"ä": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ä": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", math.nan)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ä": [1, None]}


def test_what_a_killed_process_left_goes_with_the_next_write_and_what_is_being_written_stays(tmp_path):
    code = (
        "import os, sys\n"
        "from hemf.core.files import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "metrics.csv"
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -signal.SIGKILL
    (tmp_path / ".metrics-own-file.csv").write_text("the user's")
    assert len(list(tmp_path.glob(".metrics-part-*.csv"))) == 1
    with whole_file(path) as first:
        write_text(path, "second")
        assert first.exists()
        assert len(list(tmp_path.glob(".metrics-part-*.csv"))) == 1
        first.write_text("first")
    assert path.read_text() == "first"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".metrics-own-file.csv", "metrics.csv"]
