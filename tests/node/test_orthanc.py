"""The whole way with a real PACS: Orthanc routes an image to the node, whose results appear in its study."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from node_files import free_port, saved, started, wait_for
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from serving_model import save, save_export

from hemf.node.status import status_lines

NEEDED = ("Orthanc", "storescu", "dsrdump", "dciodvfy")
MISSING = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
WHY = "needs Debian's orthanc, orthanc-dicomweb, dcmtk and dicom3tools"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING) or not PLUGIN.exists(), reason=WHY)]

ROUTE = """function OnStoredInstance(instance, tags, metadata, origin)
  if tags['Manufacturer'] ~= 'hemf' then SendToModality(instance, 'hemf') end
end
"""


@dataclass
class Orthanc:
    """A PACS that runs.

    Args:
        url: its address.
        port: its DICOM port.
        node: the port to which it routes images.
        login: user and password.
    """

    url: str
    port: int
    node: int
    login: tuple[str, str] = ("user", "pass")

    def get(self, path: str) -> Any:
        return requests.get(f"{self.url}{path}", auth=self.login, timeout=60)

    def series(self, study: str) -> dict[str, list[pydicom.Dataset]]:
        """What a study holds, by modality."""
        found: dict[str, list[pydicom.Dataset]] = {}
        for one in self.get("/instances?expand").json():
            data = pydicom.dcmread(
                pydicom.filebase.DicomBytesIO(self.get(f"/instances/{one['ID']}/file").content)
            )
            if data.StudyInstanceUID == study:
                found.setdefault(data.Modality, []).append(data)
        return found


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("orthanc")
    one = Orthanc(f"http://127.0.0.1:{(http := free_port())}", free_port(), free_port())
    (folder / "route.lua").write_text(ROUTE)
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": http,
        "DicomPort": one.port,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": dict([one.login]),
        "LuaScripts": [str(folder / "route.lua")],
        "DicomModalities": {"hemf": ["HEMF", "127.0.0.1", one.node]},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DicomAlwaysAllowStore": True,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    program = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([str(program), "orthanc.json"], cwd=folder, stdout=log, stderr=log)
        try:
            wait_for(lambda: is_up(one) or process.poll() is not None)
            assert process.poll() is None, (folder / "log").read_text()
            yield one
        finally:
            process.kill()
            process.wait()


def is_up(one: Orthanc) -> bool:
    try:
        return one.get("/system").ok
    except requests.ConnectionError:
        return False


def scan(folder: Path) -> Path:
    """A real CT image that comes with pydicom, as one of a study of its own."""
    one = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    one.StudyInstanceUID, one.SOPInstanceUID = generate_uid(), generate_uid()
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    return saved(folder / "scan.dcm", one)


def store(orthanc: Orthanc, file: Path, called: str = "ORTHANC", port: int | None = None) -> None:
    command = [
        "storescu",
        "-aet",
        "SCANNER",
        "-aec",
        called,
        "127.0.0.1",
        str(port or orthanc.port),
        str(file),
    ]
    subprocess.run(command, check=True)


def check(found: pydicom.Dataset, folder: Path, source: pydicom.Dataset) -> None:
    """Check an object as the PACS has it: valid, of the patient, and naming the image."""
    path = saved(folder / "found.dcm", found)
    said = subprocess.run(["dciodvfy", path], capture_output=True, text=True).stderr
    assert [line for line in said.splitlines() if line.startswith("Error")] == []
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"):
        assert (found.get(keyword) or "") == (source.get(keyword) or ""), keyword
    dumped = subprocess.run(["dcmdump", path], capture_output=True, text=True, check=True).stdout
    assert source.SOPInstanceUID in dumped


def test_an_image_that_orthanc_routes_has_report_and_heat_map_in_its_study(orthanc, tmp_path):
    model, file = save(tmp_path / "lesions"), scan(tmp_path)
    source = pydicom.dcmread(file)
    arguments = [str(model), "--overlay", "--device", "cpu", "--dicom-port", str(orthanc.node)]
    arguments += ["--reply", f"ORTHANC@127.0.0.1:{orthanc.port}", "--aet-allowed", "ORTHANC,SCANNER"]
    with started(tmp_path, *arguments) as node:
        store(orthanc, file)
        wait_for(lambda: len(orthanc.series(source.StudyInstanceUID)) == 3)
        store(orthanc, file, "HEMF", node.port)  # once more, which changes nothing
        wait_for(lambda: "1  sent" in "\n".join(status_lines(tmp_path / "spool")))
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(60) == 0
        assert node.said.read_text() == ""
    found = orthanc.series(source.StudyInstanceUID)
    assert {kind: len(those) for kind, those in found.items()} == {"CT": 1, "SR": 1, "OT": 1}
    for kind in ("SR", "OT"):
        check(found[kind][0], tmp_path, source)
    saved(tmp_path / "report.dcm", found["SR"][0])
    words = subprocess.run(["dsrdump", tmp_path / "report.dcm"], capture_output=True, text=True).stdout
    assert "Comprehensive 3D SR Document" in words
    assert '"Probability of malignant")=' in words
    assert found["OT"][0].pixel_array.shape == (*source.pixel_array.shape, 3)


def test_reports_go_to_orthanc_over_the_web(orthanc, tmp_path):
    model, file = save_export(tmp_path / "linear"), scan(tmp_path)
    source = pydicom.dcmread(file)
    (tmp_path / "login").write_text("user:wrong")
    arguments = [str(model), "--dicomweb", f"{orthanc.url}/dicom-web", "--dicom-port", str(orthanc.node)]
    arguments += ["--login-file", str(tmp_path / "login")]
    with started(tmp_path, *arguments) as node:
        store(orthanc, file)
        wait_for(lambda: "the status 401" in "\n".join(status_lines(tmp_path / "spool")))
        node.process.send_signal(signal.SIGKILL)
    (tmp_path / "login").write_text("user:pass")
    with started(tmp_path, *arguments):
        wait_for(lambda: "SR" in orthanc.series(source.StudyInstanceUID))
        wait_for(lambda: "1  sent" in "\n".join(status_lines(tmp_path / "spool")))
    check(orthanc.series(source.StudyInstanceUID)["SR"][0], tmp_path, source)
