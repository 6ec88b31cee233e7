"""Labels that are likely wrong: planted ones, and what cannot be judged."""

import json

import numpy as np
import pytest

import hemf
from hemf.core.errors import HemfError
from hemf.data.load import load_data
from hemf.evaluation.label_errors import likely_wrong
from hemf.evaluation.out_of_sample import out_of_sample

CLASSES = ["a", "b", "c"]


def predictions(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True classes and good, not perfect, probabilities."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    scores = rng.normal(size=(n, 3)) + 4 * np.eye(3)[labels]
    return labels, np.exp(scores) / np.exp(scores).sum(1, keepdims=True)


def test_planted_errors_are_found_with_their_true_class():
    labels, probabilities = predictions(600)
    planted = np.random.default_rng(1).choice(600, 40, replace=False)
    given = labels.copy()
    given[planted] = (given[planted] + 1) % 3
    found = likely_wrong([str(i) for i in range(600)], given, probabilities, CLASSES)
    hits = {int(one["path"]) for one in found} & set(planted.tolist())
    assert len(hits) >= 34
    assert len(hits) / len(found) > 0.8
    right = [
        CLASSES[labels[int(one["path"])]] == one["suggested"] for one in found if int(one["path"]) in hits
    ]
    assert np.mean(right) > 0.9
    assert all(one["label"] != one["suggested"] for one in found)
    assert all(one["confidence"] <= one["suggested_confidence"] for one in found)
    assert len({int(one["path"]) for one in found[:20]} & set(planted.tolist())) >= 18, (
        "the likeliest come first"
    )


def test_sound_labels_and_few_images():
    labels, probabilities = predictions(300)
    assert (
        len(likely_wrong([str(i) for i in range(300)], labels, np.eye(3)[labels] * 0.9 + 0.1 / 3, CLASSES))
        == 0
    )
    labels[:] = 0
    with pytest.raises(HemfError, match="fewer than 5 images of the class b"):
        likely_wrong([str(i) for i in range(300)], labels, probabilities, CLASSES)


def test_a_run_is_evaluated_first_and_labels_that_changed_are_refused(made_run, tmp_path):
    data = load_data(made_run)
    with pytest.raises(HemfError, match="hemf evaluate"):
        out_of_sample(made_run, data)
    for split in ("val", "test"):
        hemf.evaluate(str(made_run), split=split, resamples=0, workers=0, device="cpu")
    found = out_of_sample(made_run, data)
    assert sorted(found.predictions.paths) == sorted(s.path for s in data.samples if s.split != "train")
    assert len(found.predictions.labels) == len(found.predictions.probabilities) == 18
    audit = hemf.audit(str(made_run), run=str(made_run), out=str(tmp_path / "audit"), workers=0)
    labels = audit.findings["labels"]
    assert labels["judged"] == 18
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["labels"] == labels
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert f"{len(labels['likely_wrong'])} of 18 labels are likely wrong" in page
    assert page.count("perhaps") == len(labels["likely_wrong"])
    rows = (made_run / "manifest.csv").read_text().splitlines()
    swapped = [row.replace(",a,", ",b,") if ",test" in row or ",val" in row else row for row in rows]
    (made_run / "manifest.csv").write_text("\n".join(swapped) + "\n")
    with pytest.raises(HemfError, match="train and evaluate with these labels"):
        out_of_sample(made_run, load_data(made_run))
