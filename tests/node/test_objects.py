"""Reports and pictures: what the model said, of whom, in a form that others take for valid."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from node_files import ABOUT, FOUND, image, saved
from PIL import Image
from pydicom.dataset import Dataset

from hemf.core.errors import HemfError
from hemf.node.results.about import About, new_uid
from hemf.node.results.concepts import read_codes
from hemf.node.results.secondary_capture import secondary_capture
from hemf.node.results.structured_report import structured_report
from hemf.node.source import PATIENT, STUDY, Filter, read_source

CODES = "class,value,scheme,meaning\nmalignant,1240414004,SCT,Malignant neoplasm\n"


def items(report: Dataset) -> list[tuple[str, str, object]]:
    """Relation, name and value of all content."""
    found = []
    for one in report.get("ContentSequence", []):
        value = {
            "NUM": lambda x: x.MeasuredValueSequence[0].FloatingPointValue,
            "CODE": lambda x: (
                x.ConceptCodeSequence[0].CodingSchemeDesignator,
                x.ConceptCodeSequence[0].CodeMeaning,
            ),
            "IMAGE": lambda x: x.ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
            "TEXT": lambda x: x.TextValue,
            "UIDREF": lambda x: x.UID,
        }.get(one.ValueType, lambda x: None)(one)
        found += [(one.RelationshipType, one.ConceptNameCodeSequence[0].CodeMeaning, value), *items(one)]
    return found


def written(tmp_path: Path, made: Dataset, name: str = "made.dcm") -> Dataset:
    """What another program reads of an object."""
    made.save_as(tmp_path / name, enforce_file_format=True)
    return pydicom.dcmread(tmp_path / name)


@pytest.fixture
def source(tmp_path: Path) -> Dataset:
    return read_source(saved(tmp_path / "image.dcm", image()))


def test_a_report_says_what_the_model_said(source, tmp_path):
    report = written(tmp_path, structured_report(FOUND, source, ABOUT, new_uid(), 3))
    said = items(report)
    values = {name: value for _, name, value in said}
    assert {name: values[f"Probability of {name}"] for name in ABOUT.classes} == FOUND.probabilities
    assert values["Finding"] == values["Predicted class"] == ("99HEMF", "malignant")
    assert values["Class in the prediction set"] == ("99HEMF", "malignant")
    assert values["The model abstains"] == ("SCT", "No")
    assert values["Source of Measurement"] == source.SOPInstanceUID
    assert (values["Observer Type"], values["Device Observer Name"]) == (("DCM", "Device"), "lesions")
    assert values["Device Observer Serial Number"] == ABOUT.sha256
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    flags = (
        report.CompletionFlag,
        report.VerificationFlag,
        report.PreliminaryFlag,
        report.ContentQualification,
    )
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY", "RESEARCH")


def test_where_the_model_abstains_there_is_no_finding(source):
    torn = dataclasses.replace(FOUND, set=("benign", "malignant"), abstain=True, disagreement=0.25)
    said = items(structured_report(torn, source, ABOUT, new_uid(), 1))
    names = [name for _, name, _ in said]
    assert "Finding" not in names
    assert names.count("Class in the prediction set") == 2
    assert ("CONTAINS", "The model abstains", ("SCT", "Yes")) in said
    assert ("CONTAINS", "Disagreement of the models", 0.25) in said


def test_an_image_unlike_those_of_training_has_no_finding(source):
    strange = dataclasses.replace(FOUND, unfamiliarity=2.5)
    said = items(structured_report(strange, source, ABOUT, new_uid(), 1))
    assert "Finding" not in [name for _, name, _ in said]
    assert ("CONTAINS", "Image unlike those of training", ("SCT", "Yes")) in said
    assert ("CONTAINS", "Unfamiliarity, above 1 unlike training", 2.5) in said
    usual = items(
        structured_report(dataclasses.replace(strange, unfamiliarity=0.5), source, ABOUT, new_uid(), 1)
    )
    assert "Finding" in [name for _, name, _ in usual]
    assert ("CONTAINS", "Image unlike those of training", ("SCT", "No")) in usual


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"PatientName": "山田^太郎", "SpecificCharacterSet": "ISO_IR 192"},
        {"PatientName": "Yamada^Tarou=山田^太郎", "SpecificCharacterSet": ["", "ISO 2022 IR 87"]},
        {"StudyDate": "2020.01.31", "PatientID": "x" * 70, "PatientSex": "?", "StudyID": None},
        {"PatientName": None, "PatientBirthDate": "", "ReferringPhysicianName": "a\\b"},
    ],
    ids=["latin 1", "utf-8", "japanese", "odd", "lacking"],
)
def test_patient_and_study_are_those_of_the_image(tmp_path, elements):
    path = saved(tmp_path / "image.dcm", image(**elements))
    source, original = read_source(path), pydicom.dcmread(path)
    report = structured_report(FOUND, source, ABOUT, new_uid(), 1)
    capture = secondary_capture(Image.new("RGB", (8, 8)), "words", source, ABOUT, new_uid(), 1)
    for made in (written(tmp_path, report), written(tmp_path, capture)):
        for keyword in (*PATIENT, *STUDY, "StudyInstanceUID"):
            assert (made.get(keyword) or "") == (original.get(keyword) or ""), keyword
        assert made.SeriesInstanceUID != original.SeriesInstanceUID


def test_results_of_a_study_are_one_series_of_each_kind(source):
    first, second = (structured_report(FOUND, source, ABOUT, new_uid(), n) for n in (1, 2))
    capture = secondary_capture(Image.new("RGB", (8, 8)), "words", source, ABOUT, new_uid(), 1)
    other = structured_report(FOUND, source, dataclasses.replace(ABOUT, sha256="cd" * 32), new_uid(), 1)
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert len({one.SeriesInstanceUID for one in (first, capture, other)}) == 3
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_a_secondary_capture_is_the_picture_and_names_its_source(source, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    made = written(tmp_path, secondary_capture(picture, "Evidence for a\\b", source, ABOUT, new_uid(), 1))
    assert (made.pixel_array == np.asarray(picture)).all()
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert made.DerivationDescription == "Evidence for a/b, by lesions, research use only"


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="no dciodvfy: install Debian's dicom3tools")
@pytest.mark.parametrize("names", [ABOUT.classes, ("a" * 200, "b\\c", "Ж")])
def test_dciodvfy_finds_no_fault(source, tmp_path, names):
    shares = dict(zip(names, (0.2, 0.7, 0.1), strict=True))
    found = dataclasses.replace(FOUND, label=names[1], probabilities=shares, set=names[:2], abstain=True)
    about = dataclasses.replace(ABOUT, classes=names, name="a name " * 20)
    picture = Image.new("RGB", (8, 8))
    written(tmp_path, structured_report(found, source, about, new_uid(), 1), "report.dcm")
    written(tmp_path, secondary_capture(picture, "words", source, about, new_uid(), 1), "capture.dcm")
    for name, kind in (("report.dcm", "Comprehensive3DSR"), ("capture.dcm", "SCImage")):
        done = subprocess.run(["dciodvfy", tmp_path / name], capture_output=True, text=True)
        lines = done.stderr.splitlines()
        assert kind in lines
        assert [line for line in lines if line.startswith("Error")] == []


def test_standard_concepts_take_the_place_of_names(source, tmp_path):
    (tmp_path / "codes.csv").write_text(CODES)
    codes = read_codes(tmp_path / "codes.csv", ABOUT.classes)
    about = dataclasses.replace(ABOUT, codes=codes)
    said = items(structured_report(FOUND, source, about, new_uid(), 1))
    assert ("CONTAINS", "Finding", ("SCT", "Malignant neoplasm")) in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,value\n", "no column scheme"),
        (CODES.replace("malignant,", "malignent,"), "line 2: no class 'malignent'; did you mean malignant"),
        (CODES + CODES.splitlines()[1] + "\n", "line 3: 'malignant' is there twice"),
        (CODES.replace("1240414004", "1" * 17), "line 2: value and scheme must have 1 to 16"),
        (CODES.replace("Malignant neoplasm", ""), "there must be a meaning"),
    ],
)
def test_bad_codes_are_refused(tmp_path, text, message):
    (tmp_path / "codes.csv").write_text(text)
    with pytest.raises(HemfError, match=message):
        read_codes(tmp_path / "codes.csv", ABOUT.classes)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"StudyInstanceUID": None}, "has no StudyInstanceUID"),
        ({"SeriesInstanceUID": "1.2.SECRET"}, "has no SeriesInstanceUID"),
    ],
)
def test_an_image_without_uids_is_refused(tmp_path, elements, message):
    made = image()
    for keyword, value in elements.items():
        made.pop(keyword)
        if value:
            made.add(pydicom.DataElement(keyword, "UI", value, validation_mode=0))
    with pytest.raises(HemfError, match=message) as caught:
        read_source(saved(tmp_path / "image.dcm", made))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Filter({"CT", "CR"}, {"CHEST"}), None),
        (Filter({"DX", "CR"}), "its Modality is not CR or DX"),
        (Filter((), {"HAND"}), "its BodyPartExamined is not HAND"),
    ],
)
def test_images_of_another_kind_are_refused(source, wanted, message):
    if message is None:
        wanted.check(source)
        return
    with pytest.raises(HemfError, match=message):
        wanted.check(source)


def test_the_results_of_a_node_are_no_images_for_one(source):
    source.Manufacturer = "hemf"
    with pytest.raises(HemfError, match="made by a hemf node"):
        Filter().check(source)


def test_the_same_model_is_the_same_device():
    assert ABOUT.device_uid == About("other name", ABOUT.sha256, ()).device_uid
    assert len(ABOUT.device_uid) <= 64
