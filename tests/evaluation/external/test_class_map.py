"""Another place's classes become the model's as a file states, and nothing is dropped without a word."""

from pathlib import Path

import pytest

from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.evaluation.external.class_map import ClassMap, mapping_lines

LABELS = ["mole", "melanoma", "mole", "NV", "other", "other"]


def images(tmp_path: Path) -> DataSet:
    samples = [Sample(f"{i}.png", label) for i, label in enumerate(LABELS)]
    return DataSet("clinic", sorted(set(LABELS)), samples, tmp_path)


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "map.csv").write_text(text)
    return str(tmp_path / "map.csv")


def test_classes_are_renamed_joined_kept_and_left_out(tmp_path: Path) -> None:
    found = ClassMap.read(written(tmp_path, "class,model_class\nmole,NV\nmelanoma,MEL\nother,\nwart,NV\n"))
    mapped = found.applied(images(tmp_path), ["MEL", "NV", "DF"])
    assert [(s.path, s.label) for s in mapped.samples] == [
        ("0.png", "NV"),
        ("1.png", "MEL"),
        ("2.png", "NV"),
        ("3.png", "NV"),
    ]
    assert mapped.classes == ["MEL", "NV", "DF"]
    assert mapped.info["class_map"] == {
        "file": "map.csv",
        "mapped": {"mole": "NV", "melanoma": "MEL"},
        "left_out": {"other": 2},
        "unused": ["wart"],
    }
    assert mapping_lines(mapped.info["class_map"]) == [
        "Classes by map.csv: mole as NV, melanoma as MEL.",
        "Left out by map.csv: other (2 images).",
        "Named in map.csv, but not in these images: wart.",
    ]


def test_a_class_that_the_file_forgets_keeps_its_name_and_so_is_refused_later(tmp_path: Path) -> None:
    found = ClassMap.read(written(tmp_path, "class;model_class\nmole;NV\n"))
    assert [s.label for s in found.applied(images(tmp_path), ["NV"]).samples][:3] == ["NV", "melanoma", "NV"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("theirs,ours\na,b\n", "needs the columns class and model_class; it has theirs, ours"),
        ("class,model_class\nmole,NV\nmole,MEL\n", "names class 'mole' twice"),
        ("class,model_class\nmole,nevus\n", "leads to 'nevus', which is no class of the model"),
        ("class,model_class\nmole,\nmelanoma,\nother,\nNV,\n", "leaves out every image of clinic"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(HemfError, match=words):
        ClassMap.read(written(tmp_path, text)).applied(images(tmp_path), ["MEL", "NV"])
