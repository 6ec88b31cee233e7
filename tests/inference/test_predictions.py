"""Predictions as they were written, with the groups of their images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemf
from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.data.manifest import read_data_set, write_data_set
from hemf.inference.predictions import Predictions, pooled, read_predictions

PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu"}


def test_they_are_those_of_the_evaluation_to_the_last_bit(made_run: Path) -> None:
    found = hemf.evaluate(str(made_run), **PLAIN)
    read = read_predictions(found.folder / "predictions.csv")
    tested = read_data_set(made_run).subset("test")
    assert read.classes == ["a", "b", "c"]
    assert read.paths == [s.path for s in tested]
    assert read.groups == [s.group for s in tested]
    assert [read.classes[k] for k in read.labels] == [s.label for s in tested]
    assert (read.labels.dtype, read.probabilities.dtype) == (np.int64, np.float64)
    assert read.probabilities.shape == (12, 3)
    hits = (read.probabilities.argmax(1) == read.labels).mean()
    assert hits == found.metrics["accuracy"]["value"]
    assert -np.log(read.probabilities[range(12), read.labels]).mean() == pytest.approx(
        found.metrics["log_loss"]["value"], rel=1e-12
    )


def test_columns_of_the_manifest_travel_with_them(made_run: Path) -> None:
    """One has the name of a class."""
    data = read_data_set(made_run)
    told = [
        replace(s, metadata={"a": str(i), "sex": "" if i % 3 else "f, m"}) for i, s in enumerate(data.samples)
    ]
    write_data_set(replace(data, samples=told), made_run)
    found = hemf.evaluate(str(made_run), **PLAIN)
    read = read_predictions(found.folder / "predictions.csv")
    assert read.classes == ["a", "b", "c"]
    assert read.metadata == found.predictions.metadata
    assert read.metadata == {
        name: [s.metadata[name] for s in told if s.split == "test"] for name in ("a", "sex")
    }


def test_groups_of_another_data_set_are_its_own(made_run: Path, tmp_path: Path) -> None:
    """The file is named as one of the run's own images, whose patient is another."""
    name = read_data_set(made_run).samples[0].path
    Image.new("L", (40, 40), 9).save(tmp_path / name)
    for group in ("q9", ""):
        other = DataSet(
            "other",
            ["a", "b"],
            [Sample(name, "a", group, "test"), Sample("x.png", "b", split="train")],
            tmp_path,
        )
        Image.new("L", (40, 40), 9).save(tmp_path / "x.png")
        write_data_set(other, tmp_path)
        found = hemf.evaluate(str(made_run), data=str(tmp_path), **PLAIN)
        assert read_predictions(found.folder / "predictions.csv").groups == [group]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "path,label\n",
        "path,label,prediction,a\n1.png,b,a,1.0\n",
        "path,label,prediction,a\n1.png,a,a,x\n",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "evaluation" / "test" / "predictions.csv"
    file.parent.mkdir(parents=True)
    with pytest.raises(HemfError, match="no predictions at"):
        read_predictions(file)
    file.write_text(text)
    with pytest.raises(HemfError, match="does not hold the predictions of hemf evaluate"):
        read_predictions(file)


def test_pooled_images_keep_their_metadata() -> None:
    parts = [
        Predictions(
            [f"{i}"], np.array([0]), np.array([[0.6, 0.4]]), [""], ["a", "b"], metadata={"sex": [sex]}
        )
        for i, sex in enumerate("fm")
    ]
    assert pooled(parts, ["1", "0"]).metadata == {"sex": ["m", "f"]}
    both = pooled(parts, ["0", "1"])
    assert both.chosen(np.array([False, True])).metadata == {"sex": ["m"]}
    assert both.chosen(np.array([False, True])).paths == ["1"]


def test_some_of_the_images_keep_all_that_is_known_of_them():
    found = replace(
        Predictions(list("abc"), np.array([0, 1, 1]), np.eye(2)[[0, 1, 0]], [""] * 3, ["x", "y"]),
        disagreement=np.array([0.1, 0.2, 0.3]),
        unfamiliarity=np.array([0.5, 1.5, 2.5]),
        metadata={"sex": ["f", "m", ""]},
    )
    some = found.chosen(np.array([True, False, True]))
    assert some.paths == [found.paths[0], found.paths[2]]
    assert some.unfamiliarity.tolist() == [0.5, 2.5]
    assert some.disagreement.tolist() == [0.1, 0.3]
    assert some.metadata == {"sex": ["f", ""]}
