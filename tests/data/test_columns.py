"""The column of the patients is found by any usual name, asked for where unsure, never overlooked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hemf.core.errors import HemfError
from hemf.data.columns import GROUP_WORDS, known, looks_like_groups, rank_of
from hemf.data.load import load_data
from hemf.data.sources.csv import read_csv

N = 60


def write(folder, head: str, *columns, delimiter=","):
    """A CSV of N images of two classes with further columns, each a function of the image's number."""
    names = ["path", "label", *head.split(delimiter)]
    rows = [
        [f"im/{i:02d}.png", ["benign", "malignant"][i % 2], *(str(c(i)) for c in columns)] for i in range(N)
    ]
    (folder / "im").mkdir(exist_ok=True)
    for row in rows:
        if not (folder / row[0]).exists():
            Image.new("L", (4, 4)).save(folder / row[0])
    text = "\n".join(delimiter.join(row) for row in [names, *rows])
    (folder / "list.csv").write_text(text + "\n", encoding="utf-8")
    return folder / "list.csv"


def of_four(i):
    return f"HAM_{i // 4}"


def age(i):
    return 20 + i * 7 % 61


@pytest.mark.parametrize(
    "name",
    [
        "group patient patient_id PatientID patientId PATIENT-ID PatientName id_patient anon_patient_id",
        "patients pat_id ptid pid MRN subject subject_id SubjectKey case case_no CaseID participant donor_id",
        "lesion lesion_id LesionID nodule_id study StudyInstanceUID exam_id AccessionNumber visit video",
    ],
)
def test_usual_names_keep_patients_on_one_side(tmp_path, name):
    for one in name.split():
        data = load_data(write(tmp_path, f"age,{one}", age, of_four))
        assert data.groups == N // 4, one
        assert not data.leaking_groups(), one
        assert data.info["columns"] == {"group": one, "kept": ["age"], "unused": {}}
        assert data.info["rows"] == N


@given(
    word=st.sampled_from([word for words in GROUP_WORDS for word in words]),
    after=st.sampled_from(["", "id", "ID", "Id", "no", "number", "uid", "name"]),
    before=st.sampled_from(["", "anon"]),
    separator=st.sampled_from(["", "_", " ", "-", ".", "__"]),
    spell=st.sampled_from([str.lower, str.upper, str.title, str.capitalize, str]),
)
def test_case_separators_and_additions_do_not_count(word, after, before, separator, spell):
    name = separator.join(spell(part) for part in (before, word, after) if part)
    rank = next(rank for rank, words in enumerate(GROUP_WORDS) if word in words)
    assert rank_of(name) == rank
    assert rank_of(f"{name}{separator} age") is None
    assert rank_of(f"image {separator}{name}") is None


@pytest.mark.parametrize(
    "name",
    ["age", "patient_age", "PatientSex", "case_type", "lesion_location", "exam_date", "image_id", "id"],
)
def test_other_columns_are_no_groups(name):
    assert rank_of(name) is None


def test_the_coarsest_of_several_is_taken_and_the_others_are_named(tmp_path):
    def of_two(i):
        return f"L{i // 2}"

    data = load_data(write(tmp_path, "StudyUID,lesion_id,patient", of_two, of_two, of_four))
    assert data.info["columns"] == {
        "group": "patient",
        "kept": [],
        "unused": dict.fromkeys(["StudyUID", "lesion_id"], "may hold identifiers"),
    }
    data = load_data(write(tmp_path, "study,lesion_id", of_four, of_two))
    assert data.info["columns"] == {
        "group": "lesion_id",
        "kept": [],
        "unused": {"study": "may hold identifiers"},
    }
    data = load_data(write(tmp_path, "patient_name,patient_id", lambda i: f"n{i // 4}", of_four))
    assert data.groups == N // 4, "two columns that say the same"
    data = load_data(write(tmp_path, "patient,lesion", lambda i: f"P{i}", of_four))
    assert data.info["columns"]["group"] == "lesion", "the patients are numbers of images"


@pytest.mark.parametrize(
    ("head", "columns"),
    [
        ("patient_id,subject", (of_four, lambda i: f"S{i // 6}")),
        ("group,patient", (lambda i: "arm A" if i % 4 else "arm B", of_four)),
    ],
)
def test_two_columns_that_disagree_are_asked_about(tmp_path, head, columns):
    file = write(tmp_path, head, *columns)
    with pytest.raises(HemfError, match=f"several columns .*{head.replace(',', ', ')}.* --group-column"):
        load_data(file)
    assert read_csv(file, head.split(",")[1]).info["columns"]["group"] == head.split(",")[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("who", of_four),
        ("code", lambda i: f"{i // 3:04d}"),
        ("chart_number_hash", lambda i: f"{i // 5 * 7919 + 10**8}"),
        ("uid", lambda i: i // 4),
        ("owner_name", lambda i: "abcdefghijklmno"[i // 4]),
        ("image_id", of_four),
    ],
)
def test_a_column_that_looks_like_patients_is_asked_about(tmp_path, name, value):
    file = write(tmp_path, f"age,{name}", age, value)
    with pytest.raises(HemfError, match=f"column '{name}' .* looks like patients .*--group-column {name},"):
        load_data(file)
    assert read_csv(file, name.upper()).groups == len({value(i) for i in range(N)})
    none = read_csv(file, "none")
    assert none.groups == 0
    assert none.info["columns"]["kept"] == ["age"]
    assert set(none.info["columns"]["unused"]) == {name}


def test_with_lesions_coarser_patients_are_asked_about(tmp_path):
    file = write(tmp_path, "lesion_id,who", lambda i: f"L{i // 2}", of_four)
    with pytest.raises(HemfError, match=r"column 'who' .* looks like patients"):
        load_data(file)
    finer = write(tmp_path, "lesion_id,crop", of_four, lambda i: f"C{i // 2}")
    assert load_data(finer).info["columns"]["group"] == "lesion_id"


def test_with_a_split_of_its_own_nothing_is_asked(tmp_path):
    file = write(tmp_path, "split,who", lambda i: "train" if i < 40 else "test", of_four)
    assert load_data(file).info["columns"] == {
        "group": "",
        "kept": [],
        "unused": {"who": "may hold identifiers"},
    }


@pytest.mark.parametrize(
    "values",
    [
        [age(i) for i in range(N)],
        [f"{i / 7:.2f}" for i in range(N)],
        ["left arm", "back", "face", "hand", "foot", "scalp"] * 10,
        ["T1", "T2", "T3", "T4"] * 15,
        [f"ISIC_{i:05d}" for i in range(N)],
        [""] * N,
        ["2019-03-04"] * N,
        ["yes", "no"] * 30,
    ],
)
def test_measures_and_kinds_do_not_look_like_patients(values):
    assert not looks_like_groups("finding", [str(value) for value in values], classes=2)


def test_unusable_columns_of_a_usual_name_are_no_groups(tmp_path):
    """Case or control, one study for all, a measure, and nothing at all."""
    head = "case,study,volume,patient,lesion_id"
    file = write(tmp_path, head, lambda i: i % 2, lambda i: "NLST", lambda i: i / 8, lambda i: "NA", of_four)
    assert load_data(file).info["columns"] == {
        "group": "lesion_id",
        "kept": [],
        "unused": dict.fromkeys(["case", "study", "volume", "patient"], "may hold identifiers"),
    }


@given(
    st.sampled_from(["", "NA", "n/a", "NaN", "None", "null", "-", "unknown"]),
    st.sampled_from(["", " ", "\t"]),
)
def test_words_for_nothing_are_no_patient(word, space):
    assert known(space + word + space) == ""
    assert known(f" P{word} ") == f"P{word}"


def test_patients_without_a_name_are_not_one_patient(tmp_path):
    data = load_data(write(tmp_path, "patient_id", lambda i: "NA" if i < 20 else of_four(i)))
    assert data.groups == 10
    assert sum(not s.group for s in data.samples) == 20


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("path,label,Label", "columns 'label' and 'Label', which are one name"),
        ("path,label, PATH", "columns 'path' and ' PATH'"),
        ("path,label,label", "columns 'label' and 'label'"),
        ("path,label,note,Note", "columns 'note' and 'Note'"),
        ("path,label,caf\u00e9,cafe\u0301", "which are one name"),
    ],
)
def test_columns_of_one_name_are_refused(tmp_path, head, words):
    commas = "," * (head.count(",") - 1)
    (tmp_path / "list.csv").write_text(f"{head}\n1.png,a{commas}\n2.png,b{commas}\n", encoding="utf-8")
    with pytest.raises(HemfError, match=words):
        load_data(tmp_path / "list.csv")


def test_columns_without_a_name_may_be_several(tmp_path):
    file = write(tmp_path, ",,patient", lambda i: i, lambda i: "", of_four)
    assert load_data(file).info["columns"] == {"group": "patient", "kept": [], "unused": {}}


def test_an_unknown_group_column_is_named(tmp_path):
    with pytest.raises(HemfError, match="no column 'patiant' for --group-column; it has age, who"):
        read_csv(write(tmp_path, "age,who", age, of_four), "patiant")


@pytest.mark.real
def test_the_metadata_of_ham10000_as_it_is(real_data, tmp_path):
    """Its lesion_id keeps lesions together, with all its other columns in place."""
    lines = (real_data / "isic2018" / "HAM10000_metadata.csv").read_text().splitlines()
    head, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    assert {"lesion_id", "image_id", "dx"} <= set(head)
    image, dx, lesion = (head.index(name) for name in ("image_id", "dx", "lesion_id"))
    text = ",".join(["path", "label", *head]) + "\n"
    text += "".join(",".join([f"{row[image]}.jpg", row[dx], *row]) + "\n" for row in rows)
    (tmp_path / "list.csv").write_text(text)
    data = read_csv(tmp_path / "list.csv")
    assert data.info["columns"]["group"] == "lesion_id"
    assert set(data.info["columns"]["unused"]) == {"image_id"}
    kinds = {column.name: (column.kind, column.missing) for column in data.columns}
    assert kinds == {
        "dx": ("category", 0),
        "dx_type": ("category", 0),
        "age": ("number", 57),
        "sex": ("category", 57),
        "localization": ("category", 234),
    }
    assert data.groups == len({row[lesion] for row in rows}) == 7470
