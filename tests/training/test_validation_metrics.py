import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hemf import HemfError, RunConfig
from hemf.tasks import direction
from hemf.training.validation_metrics import ValidationMetrics


def measure(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    metric = ValidationMetrics(logits.shape[1])
    for i in range(0, len(labels), 7):
        metric.update(logits[i : i + 7], labels[i : i + 7])
    return {name: value.item() for name, value in metric.compute().items()}


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), classes=st.integers(2, 5), count=st.integers(20, 60))
def test_agrees_with_scikit_learn(seed, classes, count):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    logits = rng.normal(size=(count, classes)).astype(np.float32)
    ours = measure(torch.tensor(logits), torch.tensor(labels))
    shares = torch.tensor(logits, dtype=torch.float64).softmax(1).numpy()
    guess = shares.argmax(1)
    auc = [sk.roc_auc_score(labels == c, shares[:, c]) for c in range(classes)]
    theirs = {
        "loss": sk.log_loss(labels, shares, labels=range(classes)),
        "accuracy": sk.accuracy_score(labels, guess),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, guess),
        "f1": sk.f1_score(labels, guess, average="macro"),
        "roc_auc": np.mean(auc),
    }
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_an_absent_class_leaves_roc_auc_undefined_and_the_rest_measured():
    logits = torch.eye(3)[[0, 1, 2]] * 5
    values = measure(logits, torch.tensor([0, 1, 1]))
    assert np.isnan(values["roc_auc"])
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert values["balanced_accuracy"] == pytest.approx(0.75)
    assert values["f1"] == pytest.approx((1 + 2 / 3) / 2)


def test_direction_of_each_metric():
    assert direction(RunConfig(monitor="loss")) == "min"
    assert direction(RunConfig(monitor="f1")) == "max"
    with pytest.raises(HemfError, match="balanced_accuracy"):
        direction(RunConfig(monitor="accurracy"))
