"""DICOM files are grouped by patient under names that tell no one who the patient is."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import hemf
from hemf.cli.app import main
from hemf.commands.data.prepare import prepare
from hemf.data.load import load_data
from hemf.data.patients import patient_groups
from hemf.data.sources.folder import read_folder

PATIENTS = [f"PID-{number:04d}" for number in range(6)]


def save(path: Path, patient: str, image: int, **values) -> Path:
    data, rng = Dataset(), np.random.default_rng(image)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, f"1.2.3.{image}"
    data.PatientID, data.PatientName, data.Modality = patient, "Miller^Anna", "CT"
    data.Rows, data.Columns, data.SamplesPerPixel = 40, 40, 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.WindowCenter, data.WindowWidth = 40, 400
    data.add_new("PixelData", "OW", rng.integers(0, 4096, (40, 40), np.uint16).tobytes())
    for name, value in values.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def tree(tmp_path) -> Path:
    """Two classes of twelve CT images, three of each of eight patients."""
    for image in range(24):
        patient = f"PID-{image // 3:04d}"
        save(tmp_path / "scans" / ("ill", "well")[image // 12] / f"{image}.dcm", patient, image)
    return tmp_path / "scans"


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_one_patient_is_one_group_whatever_the_order_and_the_names(tmp_path):
    files = [save(tmp_path / f"{i}.dcm", PATIENTS[i % 3], i) for i in range(9)]
    groups = patient_groups(files)
    assert len(set(groups)) == 3
    assert groups == [groups[i % 3] for i in range(9)]
    assert patient_groups(files[::-1]) == groups[::-1]
    shutil.copytree(tmp_path, tmp_path / "copy" / "1.2.840.7")
    assert patient_groups([tmp_path / "copy" / "1.2.840.7" / file.name for file in files]) == groups
    (tmp_path / "0.dcm").rename(tmp_path / "1.2.3.0")  # as archives name them: by the image's UID
    assert patient_groups([tmp_path / "1.2.3.0", *files[1:]]) == groups


def test_the_names_cannot_be_guessed_from_the_ids(tmp_path):
    files = [save(tmp_path / f"{i}.dcm", PATIENTS[i], i) for i in range(4)]
    groups = patient_groups(files)
    for patient in PATIENTS:
        for text in (patient, f"\\{patient}", f"patient-{patient}"):
            assert hashlib.sha256(text.encode()).hexdigest()[:16] not in "".join(groups)
    assert not {*groups} & {*patient_groups(files[:3])}  # the key is of all files
    assert not any(patient in group for patient in PATIENTS for group in groups)


def test_ids_of_two_issuers_are_two_patients_and_no_id_is_no_group(tmp_path):
    one = save(tmp_path / "1.dcm", "7", 1, IssuerOfPatientID="North")
    two = save(tmp_path / "2.dcm", "7", 2, IssuerOfPatientID="South")
    none = save(tmp_path / "3.dcm", "", 3)
    Image.new("L", (9, 9)).save(tmp_path / "4.png")
    (tmp_path / "5.dcm").write_text("nothing")
    groups = patient_groups([one, two, none, tmp_path / "4.png", tmp_path / "5.dcm", tmp_path / "6.dcm"])
    assert groups[0] != groups[1]
    assert groups[2:] == [""] * 4


def test_folders_and_csv_files_keep_patients_on_one_side(tree, tmp_path):
    data = load_data(tree)
    assert data.groups == 8
    assert data.info["split"]["method"] == "grouped"
    assert not data.leaking_groups()
    assert load_data(tree) == data
    rows = [f"scans/{s.path},{s.label}" for s in data.samples]
    (tmp_path / "list.csv").write_text("path,label\n" + "\n".join(rows))
    listed = load_data(tmp_path / "list.csv")
    assert [s.group for s in listed.samples] == [s.group for s in data.samples]
    (tmp_path / "own.csv").write_text("path,label,group\n" + "\n".join(f"{row},mine" for row in rows))
    assert {s.group for s in load_data(tmp_path / "own.csv").samples} == {"mine"}


def test_prepared_twice_it_is_the_same_and_holds_nothing_of_the_headers(tree, tmp_path, capsys):
    first = prepare("folder", str(tree), str(tmp_path / "a"), resize=32, window="lung")
    second = prepare("folder", str(tree), str(tmp_path / "b"), resize=32, window="lung")
    assert first.hash == second.hash
    assert main(["data", "info", str(tmp_path / "a")]) == 0
    assert all(Image.open(first.path(s)).info == {} for s in first.samples)
    written = everything(tmp_path / "a") + capsys.readouterr().out.encode()
    assert not any(secret in written for secret in (b"PID-", b"Miller", b"1.2.3."))
    auto = prepare("folder", str(tree), str(tmp_path / "c"), resize=32)
    assert (auto.path(auto.samples[0])).read_bytes() != first.path(first.samples[0]).read_bytes()
    with pytest.raises(hemf.HemfError, match="--resize writes"):
        prepare("folder", str(tree), str(tmp_path / "d"), window="lung")


def test_train_evaluate_and_predict_through_a_window_that_travels_with_the_model(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--model", "test_resnet", "--image-size", "32", "--epochs", "1", "--val-split", "none"]
    hardware = ["--recipe", "paper", "--workers", "0", "--precision", "fp32", "--accelerator", "cpu"]
    call = ["train", "--data", "scans", "--window", "lung", "--name", "run", *options, *hardware]
    assert main(call) == 0
    assert hemf.evaluate("runs/run", workers=0, device="cpu").n == len(load_data("scans").subset("test"))
    classifier = hemf.load("runs/run", precision="fp32", device="cpu")
    assert classifier.input.window == "lung"
    file = tree / "ill" / "0.dcm"
    shutil.copy(file, tmp_path / "IM0001")
    found, same = classifier.predict([file, tmp_path / "IM0001"])
    assert found.probabilities == same.probabilities
    assert found.probabilities != _through(classifier, "auto", file)
    assert not any(secret in everything(tmp_path / "runs") for secret in (b"PID-", b"Miller", b"1.2.3."))


def _through(classifier, window: str, file: Path) -> dict[str, float]:
    image = hemf.data.image.read.read_image(file, window=window)
    return classifier.predict(image)[0].probabilities


def test_sex_age_device_and_view_travel_and_the_place_under_a_pseudonym(tmp_path):
    told = {"PatientSex": "F", "PatientAge": "018M", "Manufacturer": "ACME\n ltd", "ViewPosition": "PA"}
    save(tmp_path / "scans" / "ill" / "1.dcm", "7", 1, InstitutionName="St. Anna", **told)
    save(tmp_path / "scans" / "ill" / "2.dcm", "8", 2, InstitutionName="ST.  ANNA", PatientAge="061Y")
    save(tmp_path / "scans" / "well" / "3.dcm", "9", 3, InstitutionName="General", PatientAge="nonsense")
    Image.new("L", (9, 9)).save(tmp_path / "scans" / "well" / "4.png")
    first, second, third, fourth = (s.metadata for s in read_folder(tmp_path / "scans").samples)
    place = first["institution"]
    assert first == {"sex": "F", "age": "1.5", "manufacturer": "ACME ltd", "view": "PA", "institution": place}
    assert second == {"sex": "", "age": "61", "manufacturer": "", "view": "", "institution": place}
    assert third["age"] == ""
    assert third["institution"] not in ("", place)
    assert set(fourth.values()) == {""}
    assert not any(word in place for word in ("Anna", "anna", hashlib.sha256(b"st. anna").hexdigest()[:16]))


def test_without_a_patient_no_key_could_hide_the_place(tmp_path):
    for i in range(2):
        save(tmp_path / "ab"[i] / f"{i}.dcm", "", i, InstitutionName="General", PatientSex="M")
    assert [s.metadata for s in read_folder(tmp_path).samples] == [{"sex": "M"}] * 2
