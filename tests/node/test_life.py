"""A node's life: killed at every point, ended in order, and what it says meanwhile."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import kill_points
import pytest
from node_files import Receiver, image, receiving, saved, send, started, wait_for
from serving_model import save_export

import hemf
from hemf.cli.app import main
from hemf.node.status import status_lines

linux = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no Linux")


def sources(pacs: Receiver) -> Counter[str]:
    """How many results each image has."""
    found = [one.CurrentRequestedProcedureEvidenceSequence[0] for one in pacs.objects()]
    items = [one.ReferencedSeriesSequence[0].ReferencedSOPSequence[0] for one in found]
    return Counter(str(one.ReferencedSOPInstanceUID) for one in items)


@linux
def test_a_node_that_is_killed_at_any_point_makes_one_result_of_each_image(tmp_path):
    taken: list[str] = []
    with receiving() as pacs, open(tmp_path / "stderr.txt", "w") as said:
        command = [sys.executable, kill_points.__file__, str(tmp_path), str(pacs.port)]
        places = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "serving")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")])
        }
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment)
        wait_for((tmp_path / "port").exists)
        while (tmp_path / "point").read_text() != kill_points.LAST:
            taken.append(acknowledged(tmp_path, len(taken)))
        taken.append(acknowledged(tmp_path, len(taken)))
        wait_for(lambda: f"{len(taken):>7}  sent" in "\n".join(status_lines(tmp_path / "spool")))
        os.kill(int((tmp_path / "child").read_text()), signal.SIGTERM)
        lines = process.communicate(timeout=60)[0].splitlines()
    ends = dict(line.rsplit(": ", 1) for line in lines if not line.startswith("hemf node"))
    assert ends == dict.fromkeys(kill_points.POINTS, "-9") | {kill_points.LAST: "0"}
    assert sources(pacs) == Counter(taken)
    forms = [set(forms) for forms in pacs.got.values()]
    assert {len(one) for one in forms} == {1}  # what was sent again was the same to the last byte
    assert max(map(len, pacs.got.values())) == 2
    assert [*(tmp_path / "spool" / "images").iterdir(), *(tmp_path / "spool" / "results").iterdir()] == []


def acknowledged(folder: Path, seed: int) -> str:
    """Send an image until a node takes it, as a PACS does; returns its UID."""
    one = image(seed)

    def is_taken() -> bool:
        try:
            port = int((folder / "port").read_text())
        except FileNotFoundError:
            return False
        return send(port, one) == [0]

    wait_for(is_taken)
    return one.SOPInstanceUID


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    return save_export(tmp_path_factory.mktemp("model") / "linear")


@linux
def test_a_node_by_its_command_says_nothing_of_patients(tmp_path, export):
    images = [image(seed) for seed in range(3)]
    odd = image(3, Modality="MR")
    with receiving() as pacs:
        arguments = [f"lesions={export}", "--reply", f"PACS@127.0.0.1:{pacs.port}", "--modality", "ct"]
        with started(tmp_path, *arguments) as node:
            assert send(node.port, *images, odd, images[0]) == [0] * 5
            assert "libtorch" not in Path(f"/proc/{node.process.pid}/maps").read_text()
            wait_for(lambda: "3  sent" in "\n".join(status_lines(tmp_path / "spool")))
            node.process.send_signal(signal.SIGTERM)
            assert node.process.wait(60) == 0
            assert node.process.stdout.read() == node.said.read_text() == ""
    status = "\n".join(status_lines(tmp_path / "spool"))
    assert f"{odd.SOPInstanceUID}  its Modality is not CT" in status
    assert not [word for word in ("Müller", "SECRET", "ACC9", "1950") if word in status]
    assert sources(pacs) == Counter(str(one.SOPInstanceUID) for one in images)
    wanted = hemf.load(export).predict(saved(tmp_path / "one.dcm", images[0]), batch_size=1)[0]
    first = next(one for one in pacs.objects() if images[0].StudyInstanceUID == one.StudyInstanceUID)
    assert first.ManufacturerModelName == "lesions"
    group = first.ContentSequence[-1].ContentSequence[0].ContentSequence
    found = [item.MeasuredValueSequence[0].FloatingPointValue for item in group if item.ValueType == "NUM"]
    assert found == list(wanted.probabilities.values())


REPLY = ["--reply", "PACS@127.0.0.1:1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*REPLY, "--host", "0.0.0.0"], "name who may send with --aet-allowed, or say --any-aet"),
        ([], "give either --reply AET@host:port or --dicomweb URL"),
        ([*REPLY, "--dicomweb", "http://localhost"], "give either --reply"),
        ([*REPLY, "--login-file", "x"], "--login-file goes with --dicomweb"),
        (["--dicomweb", "http://localhost", "--reply-tls"], "--reply-tls goes with --reply"),
        ([*REPLY, "--aet", "x" * 17], "--aet is"),
        ([*REPLY, "--aet-allowed", "a\\b"], "--aet-allowed is"),
        ([*REPLY, "--overlay"], "is an export, which has no heat maps"),
        ([*REPLY, "--tls-cert", "none.pem"], "--tls-cert none.pem"),
        ([*REPLY, "--codes", "none.csv"], "cannot read none.csv"),
    ],
)
def test_options_that_do_not_fit_are_one_line(tmp_path, export, capsys, arguments, message):
    assert main(["node", str(export), *arguments, "--spool", str(tmp_path / "spool")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "spool").exists()


def test_the_status_of_no_node_is_one_line(tmp_path, capsys):
    assert main(["node", "--status", "--spool", str(tmp_path)]) == 2
    assert "no queue in" in capsys.readouterr().err
    assert main(["node", *REPLY]) == 2
    assert "needs a run" in capsys.readouterr().err
