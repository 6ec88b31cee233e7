"""Each source reads its release's own layout, zipped or not, from its folder or the one above."""

import csv
import shutil
from pathlib import Path

import openpyxl
import pytest
from PIL import Image

from hemf.core.errors import HemfError
from hemf.data.dataset import Sample
from hemf.data.sources import SOURCES
from hemf.data.sources.covid_ct import stem
from hemf.data.sources.kvasir import CLASSES

TRAINING = "ISIC2018_Task3_Training"


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), "blue").save(path)


def zip_up(folder: Path) -> None:
    """Put ``folder`` into a zip beside it, under its own name, and remove it."""
    shutil.make_archive(str(folder), "zip", folder.parent, folder.name)
    shutil.rmtree(folder)


@pytest.fixture
def isic(tmp_path) -> Path:
    """Three images, out of name order, of two lesions."""
    root = tmp_path / "isic2018"
    for name in ("ISIC_3", "ISIC_1", "ISIC_2"):
        picture(root / f"{TRAINING}_Input" / f"{name}.jpg")
    (root / f"{TRAINING}_Input" / "LICENSE.txt").write_text("terms")
    (root / f"{TRAINING}_GroundTruth").mkdir()
    truth = "image,MEL,NV\nISIC_3,0.0,1.0\nISIC_1,1.0,0.0\nISIC_2,0.0,1.0\n"
    (root / f"{TRAINING}_GroundTruth" / f"{TRAINING}_GroundTruth.csv").write_text(truth)
    lesions = "image,lesion_id,how\nISIC_1,L1,x\nISIC_2,L2,x\nISIC_3,L2,x\n"
    (root / f"{TRAINING}_LesionGroupings.csv").write_text(lesions)
    return root


ISIC = [Sample("ISIC_3.jpg", "NV", "L2"), Sample("ISIC_1.jpg", "MEL", "L1"), Sample("ISIC_2.jpg", "NV", "L2")]


def test_isic_keeps_the_order_of_the_ground_truth(isic):
    data = SOURCES["isic2018"].read(isic)
    assert data.classes == ["MEL", "NV"]
    assert data.samples == ISIC
    assert all(data.path(s).is_file() for s in data.samples)
    assert SOURCES["isic2018"].read(isic.parent).samples == ISIC


def test_isic_zipped(isic):
    zip_up(isic / f"{TRAINING}_Input")
    zip_up(isic / f"{TRAINING}_GroundTruth")
    assert SOURCES["isic2018"].read(isic).samples == ISIC
    assert SOURCES["isic2018"].read(isic).samples == ISIC, "a second reading takes what is unpacked"


def test_isic_lesions_from_ham10000(isic):
    (isic / f"{TRAINING}_LesionGroupings.csv").unlink()
    (isic / "HAM10000_metadata.csv").write_text("lesion_id,image_id\nL2,ISIC_3\nL1,ISIC_1\nL2,ISIC_2\n")
    assert SOURCES["isic2018"].read(isic).samples == ISIC


def test_isic_columns_are_those_of_ham10000(isic):
    head = "lesion_id,image_id,dx,dx_type,age,sex,localization"
    rows = ["L2,ISIC_3,nv,histo,45.0,male,back", "L1,ISIC_1,mel,histo,,unknown,ear"]
    (isic / "HAM10000_metadata.csv").write_text("\n".join([head, *rows]) + "\n")
    data = SOURCES["isic2018"].read(isic)
    assert [s.metadata for s in data.samples] == [
        {"age": "45.0", "sex": "male", "localization": "back", "dx_type": "histo"},
        {"age": "", "sex": "", "localization": "ear", "dx_type": "histo"},
        {"age": "", "sex": "", "localization": "", "dx_type": ""},
    ]
    assert [s.group for s in data.samples] == ["L2", "L1", "L2"]


def test_isic_faults_are_named(isic):
    with pytest.raises(HemfError, match=r"found 3 images, expected 10015 \(MEL 1 for 1113"):
        SOURCES["isic2018"].check_counts(SOURCES["isic2018"].read(isic))
    (isic / f"{TRAINING}_Input" / "ISIC_1.jpg").unlink()
    with pytest.raises(HemfError, match="lacks 1 of the 3 images of the ground truth, first ISIC_1"):
        SOURCES["isic2018"].read(isic)
    truth = isic / f"{TRAINING}_GroundTruth" / f"{TRAINING}_GroundTruth.csv"
    truth.write_text("image,MEL,NV\nISIC_3,1.0,1.0\n")
    with pytest.raises(HemfError, match="row of ISIC_3 has no single 1"):
        SOURCES["isic2018"].read(isic)
    truth.write_text("image,MEL,NV\nISIC_3,1.0\n")
    with pytest.raises(HemfError, match="line 2: 2 values for 3 columns"):
        SOURCES["isic2018"].read(isic)
    truth.write_text("")
    with pytest.raises(HemfError, match=r"GroundTruth\.csv is empty"):
        SOURCES["isic2018"].read(isic)
    with pytest.raises(HemfError, match=f"holds no {TRAINING}_GroundTruth"):
        SOURCES["isic2018"].read(isic / f"{TRAINING}_Input")
    with pytest.raises(HemfError, match="no folder"):
        SOURCES["isic2018"].read(isic / "nothing")


@pytest.fixture
def covid(tmp_path) -> Path:
    """Two images a class, with the odd names of the release, and a table that leaves a suffix out."""
    root = tmp_path / "COVID-CT-master"
    names = {"COVID": ["2020.03.25.p17-78.png", "b c%1.png"], "NonCOVID": ["0.jpg", "1%0.PNG"]}
    for label, files in names.items():
        for name, split in zip(files, ("train", "test"), strict=True):
            picture(root / "Images-processed" / f"CT_{label}" / name)
            lists = root / "Data-split" / label
            lists.mkdir(parents=True, exist_ok=True)
            (lists / f"{split}CT_{label}.txt").write_text(f"{name}\r\n")
        (lists / f"valCT_{label}.txt").write_text("")
    book = openpyxl.Workbook()
    for row in (
        ("File name", "Patient ID"),
        ("2020.03.25.p17-78", "Patient 1"),
        ("b c%1.png", "Patient 2"),
        (),
    ):
        book.active.append(row)
    book.save(root / "COVID-CT-MetaInfo.xlsx")
    with open(root / "NonCOVID-CT-MetaInfo.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("", "image name", "patient id"), (0, "0.jpg", "medpix_patient_0"), (1, "1%0.PNG", "c1")]
        )
    return root


COVID = [
    Sample("CT_COVID/2020.03.25.p17-78.png", "COVID", "Patient 1", "train", metadata={"source": "journal"}),
    Sample("CT_COVID/b c%1.png", "COVID", "Patient 2", "test", metadata={"source": "journal"}),
    Sample("CT_NonCOVID/0.jpg", "NonCOVID", "medpix_patient_0", "train", metadata={"source": "medpix"}),
    Sample("CT_NonCOVID/1%0.PNG", "NonCOVID", "c1", "test", metadata={"source": ""}),
]


@pytest.mark.parametrize("zipped", ["nothing", "classes", "all"])
def test_covid_ct_zipped_or_not(covid, zipped):
    if zipped != "nothing":
        zip_up(covid / "Images-processed" / "CT_COVID")
        zip_up(covid / "Images-processed" / "CT_NonCOVID")
    if zipped == "all":
        zip_up(covid)
    for root in (covid.parent, covid):
        data = SOURCES["covid-ct"].read(root)
        assert data.classes == ["COVID", "NonCOVID"]
        assert data.samples == COVID
        assert all(data.path(s).is_file() for s in data.samples)


def test_covid_ct_without_its_tables(covid):
    (covid / "COVID-CT-MetaInfo.xlsx").unlink()
    (covid / "NonCOVID-CT-MetaInfo.csv").unlink()
    (covid / "Data-split" / "COVID" / "valCT_COVID.txt").unlink()
    data = SOURCES["covid-ct"].read(covid)
    assert data.groups == 0
    assert {s.split for s in data.samples if s.label == "COVID"} == {""}


def test_covid_ct_faults_are_named(covid):
    (covid / "Data-split" / "COVID" / "valCT_COVID.txt").write_text("gone.png\n")
    with pytest.raises(HemfError, match=r"lists 1 missing image, first 'gone.png'"):
        SOURCES["covid-ct"].read(covid)
    (covid / "NonCOVID-CT-MetaInfo.csv").write_text("image,who\n0.jpg,1\n")
    with pytest.raises(HemfError, match="no column file name or image name"):
        SOURCES["covid-ct"].read(covid)
    (covid / "NonCOVID-CT-MetaInfo.csv").write_bytes(b"image name\xff")
    with pytest.raises(HemfError, match=r"NonCOVID-CT-MetaInfo\.csv is not a table"):
        SOURCES["covid-ct"].read(covid)
    (covid / "COVID-CT-MetaInfo.xlsx").write_bytes(b"")
    with pytest.raises(HemfError, match=r"COVID-CT-MetaInfo\.xlsx is no Excel table"):
        SOURCES["covid-ct"].read(covid)


def test_only_an_images_suffix_is_cut():
    assert stem("2020.03.25.20043166-p17-78") == "2020.03.25.20043166-p17-78"
    assert stem(" 2020.03.25.20043166-p17-78.png ") == "2020.03.25.20043166-p17-78"
    assert stem("1%0.JPG") == "1%0"


@pytest.mark.parametrize("layout", ["folder", "above", "zip", "zip above"])
def test_kvasir(tmp_path, layout):
    root = tmp_path / "kvasir-dataset"
    for label in CLASSES:
        picture(root / label / "1.jpg")
    if layout.startswith("zip"):
        zip_up(root)
    place = {"folder": root, "zip": root.with_suffix(".zip")}.get(layout, tmp_path)
    data = SOURCES["kvasir"].read(place)
    assert data.name == "kvasir"
    assert data.classes == sorted(CLASSES)
    assert data.samples == [Sample(f"{label}/1.jpg", label) for label in data.classes]
    with pytest.raises(HemfError, match="found 8 images, expected 4000"):
        SOURCES["kvasir"].check_counts(data)


@pytest.mark.real
def test_real_releases_have_their_published_counts(real_data):
    for name, images, groups in (("isic2018", 10015, 7470), ("covid-ct", 746, 213 + 171)):
        data = SOURCES[name].read(real_data / name)
        SOURCES[name].check_counts(data)
        assert (len(data.samples), data.groups) == (images, groups)
        assert all(s.group for s in data.samples)


@pytest.mark.real
def test_the_folder_above_both_releases_will_do(real_data):
    for name in ("isic2018", "covid-ct"):
        assert SOURCES[name].read(real_data).samples == SOURCES[name].read(real_data / name).samples
