"""Any usual layout becomes a data set, comes back from disk as it was, and says in one line what is wrong."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hemf.core.errors import HemfError
from hemf.data.dataset import SPLITS, DataSet, Sample
from hemf.data.load import load_data
from hemf.data.manifest import read_data_set, write_data_set


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "red").save(path)
    return path


def class_tree(root: Path, number: int = 10, classes: str = "ab") -> Path:
    for label in classes:
        for i in range(number):
            picture(root / label / f"{i}.png")
    return root


def csv_file(folder: Path, text: str) -> Path:
    for name in ("1", "2", "3", "4"):
        picture(folder / f"{name}.png")
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def numbers(data: DataSet) -> dict[str, int]:
    return {side: sum(by_class.values()) for side, by_class in data.counts().items()}


def test_class_folders_get_a_stated_split(tmp_path):
    data = load_data(class_tree(tmp_path / "tree"))
    assert data.classes == ["a", "b"]
    assert numbers(data) == {"train": 14, "val": 2, "test": 4}
    assert data.info["split"]["method"] == "stratified"
    assert data.info["split"]["ratios"] == {"train": 0.7, "val": 0.1, "test": 0.2}
    assert load_data(tmp_path / "tree") == data
    assert all(data.path(s).is_file() for s in data.samples)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "VALIDATION", "Testing"), ("TRAIN", "valid")]
)
def test_split_trees_keep_their_split(tmp_path, names):
    for name in names:
        class_tree(tmp_path / name, 2)
    data = load_data(tmp_path)
    assert numbers(data) == dict.fromkeys(SPLITS[: len(names)], 4)
    assert data.info["split"]["method"] == "official"


def test_a_class_may_be_absent_from_a_split(tmp_path):
    class_tree(tmp_path / "train", 2, "abc")
    class_tree(tmp_path / "test", 2, "ab")
    (tmp_path / "test" / "c").mkdir()
    assert load_data(tmp_path).counts()["test"] == {"a": 2, "b": 2, "c": 0}


def test_shadow_files_and_hidden_folders_are_no_images(tmp_path):
    class_tree(tmp_path, 5)
    picture(tmp_path / ".ipynb_checkpoints" / "x.png")
    picture(tmp_path / "__MACOSX" / "x.png")
    (tmp_path / "a" / "._1.png").write_bytes(b"x")
    assert len(load_data(tmp_path).samples) == 10


def test_images_beside_the_class_folders_are_named_not_skipped(tmp_path):
    class_tree(tmp_path, 5)
    picture(tmp_path / "unsorted 1.png")
    with pytest.raises(HemfError, match=r"1 image lies beside the folders in .*, first unsorted 1\.png"):
        load_data(tmp_path)


def test_images_beside_the_class_folders_of_a_split_are_named_too(tmp_path):
    class_tree(tmp_path / "train", 2)
    class_tree(tmp_path / "test", 2)
    picture(tmp_path / "test" / "late.png")
    with pytest.raises(HemfError, match=r"beside the folders in .*test, first late\.png"):
        load_data(tmp_path)


def test_csv_with_everything(tmp_path):
    text = "\ufeffPath;Label;Patient;Split;age\n1.png;x;p;Training;3\n2.png;y;;VALID;\n3.png; x ;q;test;9\n"
    data = load_data(csv_file(tmp_path, text))
    assert data.samples == [
        Sample("1.png", "x", "p", "train", metadata={"age": "3"}),
        Sample("2.png", "y", "", "val", metadata={"age": ""}),
        Sample("3.png", "x", "q", "test", metadata={"age": "9"}),
    ]
    assert data.root == tmp_path.resolve()
    assert data.name == "list"


def test_csv_groups_stay_together_without_a_split_of_its_own(tmp_path):
    rows = []
    for i in range(60):
        picture(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'xy'[i // 3 % 2]},lesion {i // 3}")
    (tmp_path / "list.csv").write_text("path,label,lesion\n" + "\n".join(rows))
    data = load_data(tmp_path / "list.csv")
    assert data.info["split"]["method"] == "grouped"
    assert not data.leaking_groups()
    assert set(numbers(data)) == set(SPLITS)


def test_the_row_numbers_of_a_data_frame_are_no_groups(tmp_path):
    """They stand in a column without a name."""
    data = load_data(csv_file(tmp_path, ",path,label,split\n0,1.png,x,train\n1,2.png,y,train\n"))
    assert [s.group for s in data.samples] == ["", ""]
    assert not data.groups


def test_csv_paths_may_be_absolute(tmp_path):
    far = picture(tmp_path / "elsewhere" / "far.png")
    near = picture(tmp_path / "lists" / "near.png")
    (tmp_path / "lists" / "all.csv").write_text(f"path,label,split\n{far},x,train\nnear.png,y,train\n")
    data = load_data(tmp_path / "lists" / "all.csv")
    assert [data.path(s) for s in data.samples] == [far.resolve(), near.resolve()]


def test_a_folder_with_only_a_manifest_is_a_csv(tmp_path):
    csv_file(tmp_path, "path,label,fold\n1.png,x,0\n2.png,y,0\n3.png,x,1\n4.png,y,1\n").rename(
        tmp_path / "manifest.csv"
    )
    assert load_data(tmp_path).folds == [0, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,class\n1.png,x\n", "no column 'label'"),
        ("path,label\n1.png,x\n2.png,\n", "line 3: no label"),
        ("path,label\n1.png,x\n2.png,x\n", "single class 'x'"),
        ("path,label\n1.png,x\n1.png,y\n", "1 image twice, first 1.png"),
        ("path,label,split\n1.png,x,train\n2.png,y,dev\n", "line 3: no split 'dev'"),
        ("path,label,split\n1.png,x,train\n2.png,y,\n", "1 row without split"),
        ("path,label,fold\n1.png,x,one\n2.png,y,2\n", "fold 'one'"),
        ("path,label\n../1.png,x\n2.png,y\n", "outside the CSV's folder"),
        ("path,label,patient,subject\n1.png,x,a,b\n2.png,y,a,c\n", r"patients \(patient, subject\)"),
        ("path,label,Label\n1.png,x,x\n2.png,y,y\n", "'label' and 'Label', which are one name"),
        ("path,label,patient\n1.png,x,p\n2.png,y\n", "line 3: 2 values for 3 columns"),
        ('path,label,note\n1.png,x,"5 mm\n2.png,y,\n', "line 2: .*unclosed quote"),
        ("path,label\n1.png,x\n8.png,y\n9.png,y\n", "2 of the 3 images of list are missing, first .*8.png"),
        ("path,label\n1.png,x\nscan, 2.png,y\n", "line 3: more values than columns"),
        (f'path,label\n1.png,"{"x" * 200_000}\n', "field larger.*; look for an unclosed quote"),
        ("path,label\n", "no images"),
        ("", "no column 'path'"),
    ],
)
def test_a_faulty_csv_is_explained_in_one_line(tmp_path, text, words):
    with pytest.raises(HemfError, match=words) as caught:
        load_data(csv_file(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_faulty_folders_are_explained(tmp_path):
    with pytest.raises(HemfError, match="no data at"):
        load_data(tmp_path / "nothing")
    with pytest.raises(HemfError, match="no class folders"):
        load_data(tmp_path)
    class_tree(tmp_path, 2, "a")
    with pytest.raises(HemfError, match="single class 'a'"):
        load_data(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(HemfError, match="b holds no images"):
        load_data(tmp_path)
    class_tree(tmp_path / "train", 2)
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(HemfError, match="a names no split"):
        load_data(tmp_path)
    shutil.rmtree(tmp_path / "a")
    class_tree(tmp_path / "val", 2)
    class_tree(tmp_path / "valid", 2)
    with pytest.raises(HemfError, match="are both the val split"):
        load_data(tmp_path)
    shutil.rmtree(tmp_path / "valid")
    (tmp_path / "val" / "c").mkdir()
    with pytest.raises(HemfError, match="c holds no images in any split"):
        load_data(tmp_path)
    archive = tmp_path / "images.zip"
    archive.write_bytes(b"x")
    with pytest.raises(HemfError, match="neither a folder nor a CSV"):
        load_data(archive)


def test_a_file_name_that_is_not_utf_8_is_named(tmp_path):
    class_tree(tmp_path)
    os.rename(tmp_path / "a" / "1.png", os.fsencode(tmp_path / "a") + b"/\xe9.png")
    with pytest.raises(HemfError, match=r"a/\\udce9.png.* is not UTF-8"):
        load_data(tmp_path)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    data = load_data(class_tree(tmp_path / "tree"))
    write_data_set(data, tmp_path / "prepared")
    assert load_data(tmp_path / "prepared") == data


def test_a_data_set_with_its_images_may_be_moved(tmp_path):
    data = load_data(class_tree(tmp_path / "here" / "images"))
    write_data_set(data, tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = load_data(tmp_path / "there")
    assert moved.root == (tmp_path / "there" / "images").resolve()
    assert moved.hash == data.hash


def test_a_manifest_edited_by_hand_still_loads_and_says_so(tmp_path):
    data = load_data(class_tree(tmp_path / "tree"))
    write_data_set(data, tmp_path / "prepared")
    manifest = tmp_path / "prepared" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",val,", ",train,"))
    edited = load_data(tmp_path / "prepared")
    assert numbers(edited) == {"train": 16, "test": 4}
    assert edited.info["split"]["edited"] is True
    assert edited.hash != data.hash


def test_missing_images_and_a_class_without_any_are_named(tmp_path):
    data = load_data(class_tree(tmp_path / "tree"))
    write_data_set(data, tmp_path / "prepared")
    gone = tmp_path / "tree" / "a" / "3.png"
    gone.unlink()
    with pytest.raises(HemfError, match=f"1 of the 20 images of tree are missing, first {gone}"):
        load_data(tmp_path / "prepared")
    about = tmp_path / "prepared" / "dataset.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"classes": ["a", "b", "c"]}))
    with pytest.raises(HemfError, match="class 'c' of tree has no images"):
        read_data_set(tmp_path / "prepared")
    about.write_text("{")
    with pytest.raises(HemfError, match="cannot read"):
        read_data_set(tmp_path / "prepared")


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=8)


@settings(max_examples=40)  # each example is flushed to the disk
@given(
    paths=st.lists(names, min_size=2, max_size=8, unique=True),
    labels=st.lists(names, min_size=2, max_size=4, unique=True),
    groups=st.lists(st.one_of(st.just(""), names), min_size=8, max_size=8),
)
def test_any_names_survive_the_disk(tmp_path_factory, paths, labels, groups):
    paths = [f"{i}{path}" for i, path in enumerate(paths * 2)]
    samples = [
        Sample(path, labels[i % len(labels)], groups[i % 8], SPLITS[i % 3]) for i, path in enumerate(paths)
    ]
    folder = tmp_path_factory.mktemp("any")
    data = DataSet("any", labels, samples, folder.resolve(), {"split": {"method": "official"}})
    write_data_set(data, folder)
    assert read_data_set(folder) == data


def test_an_empty_path_is_no_word_for_the_current_folder(tmp_path, monkeypatch):
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(5):
            (tmp_path / label / f"{i}.png").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HemfError, match="the path is empty"):
        load_data("")
    assert len(load_data(".").samples) == 10


@pytest.mark.parametrize("name", ["path", "label", "prediction", "probability"])
def test_a_class_may_not_share_the_name_of_a_column_of_the_predictions(name):
    data = DataSet("two", ["x", name], [Sample("1", "x"), Sample("2", name)], Path())
    with pytest.raises(HemfError, match=f"class '{name}' of two has the name of a column .*; rename it"):
        data.check()


def test_subsets_counts_and_leaks():
    samples = [
        Sample("1", "x", "p", "train"),
        Sample("2", "y", "p", "test"),
        Sample("3", "x", "q", "train"),
        Sample("4", "y", "", "val"),
        Sample("5", "x", "", "train"),
    ]
    data = DataSet("few", ["y", "x"], samples, Path())
    assert [s.path for s in data.subset("train")] == ["1", "3", "5"]
    assert data.subset("all") == samples
    assert data.counts() == {"train": {"y": 0, "x": 3}, "val": {"y": 1, "x": 0}, "test": {"y": 1, "x": 0}}
    assert data.leaking_groups() == {"p": ["train", "test"]}
    assert data.leaks() == {"train": 1, "val": 0, "test": 1}
    assert data.groups == 2
    with pytest.raises(HemfError, match="no split 'dev'"):
        data.subset("dev")


def test_folds_resolve_to_splits():
    samples = [Sample(f"{i}", "xy"[i // 2 % 2], f"g{i // 2}", fold=i // 2 % 5) for i in range(100)]
    data = DataSet("five", ["x", "y"], samples, Path(), {"split": {"method": "grouped-kfold", "val": 0.2}})
    with pytest.raises(HemfError, match="choose one with --fold"):
        data.subset("train")
    one = data.for_fold(1)
    assert {s.path for s in one.subset("test")} == {s.path for s in samples if s.fold == 1}
    assert numbers(one) == {"train": 60, "val": 20, "test": 20}
    assert not one.leaking_groups()
    assert one == data.for_fold(1)
    assert one.subset("val") != data.for_fold(1, seed=1).subset("val")
    assert numbers(data.for_fold(1, val=0)) == {"train": 80, "test": 20}
    assert one.info["split"]["fold"] == 1
    with pytest.raises(HemfError, match="no fold 5 in five; it has 0, 1, 2, 3, 4"):
        data.for_fold(5)
    with pytest.raises(HemfError, match="validate on 90 of 80"):
        data.for_fold(1, val=0.9)


def test_further_columns_travel_typed_once_and_do_not_change_the_hash(tmp_path):
    ages = ["31", "", "44.5", "50", "61", "72", "80"]
    samples = [
        Sample(f"{i}.png", "xy"[i % 2], metadata={"age": age, "site": "arm, left\rside" if i else ""})
        for i, age in enumerate(ages)
    ]
    data = DataSet("d", ["x", "y"], samples, tmp_path)
    write_data_set(data, tmp_path / "prepared")
    read = read_data_set(tmp_path / "prepared")
    assert read.samples == samples
    assert [(c.name, c.kind, c.missing) for c in read.columns] == [
        ("age", "number", 1),
        ("site", "category", 1),
    ]
    assert read.hash == DataSet("d", ["x", "y"], [Sample(s.path, s.label) for s in samples], tmp_path).hash
    few = DataSet("d", read.classes, read.samples[:3], tmp_path, kinds=read.kinds)
    assert few.columns[0].kind == "number", "two ages alone would be a category"


def test_a_strangers_descriptions_of_columns_are_checked(tmp_path):
    data = DataSet(
        "d", ["x", "y"], [Sample(f"{i}.png", "xy"[i % 2], metadata={"a": str(i)}) for i in range(4)], tmp_path
    )
    write_data_set(data, tmp_path)
    about = json.loads((tmp_path / "dataset.json").read_text())
    odd = [
        5,
        {"name": 3, "kind": "number"},
        {"name": "a", "kind": "secret"},
        {"name": "gone", "kind": "number"},
    ]
    (tmp_path / "dataset.json").write_text(json.dumps(about | {"metadata": odd}))
    assert [c.kind for c in read_data_set(tmp_path).columns] == ["category"]
    (tmp_path / "dataset.json").write_text(json.dumps(about | {"metadata": 5}))
    with pytest.raises(HemfError, match=r"metadata in .* is no list"):
        read_data_set(tmp_path)
