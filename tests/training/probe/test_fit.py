"""The linear probe."""

import json

import numpy as np
import pytest
import timm
import torch
from pytorch_lightning.utilities import rank_zero_only
from sklearn.linear_model import LogisticRegression

import hemf
from hemf import HemfError, RunConfig
from hemf.data.preprocessing import InputSpec
from hemf.inference.features import Features
from hemf.training.probe.fit import fit_probe, last_layer

SPEC = InputSpec.from_config(RunConfig.of(image_size=32))


def noisy(n: int, classes: int, seed: int = 0):
    """Features of two views of n images, whose class shifts one number of twelve by 1.5 deviations."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    features = rng.normal(3, 2, (2, n, 12))
    features[:, np.arange(n), labels] += 3
    return features, labels


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_scikit_learn_s_regression_on_the_raw_features(classes):
    features, labels = noisy(120, classes)
    found = fit_probe(features, labels, [""] * 120)
    rows = np.concatenate(features)
    mean, deviation = rows.mean(0), rows.std(0)
    expected = LogisticRegression(C=found.strength, max_iter=500).fit(
        (rows - mean) / deviation, np.tile(labels, 2)
    )
    logits = features[0] @ found.weight.T + found.bias
    exp = np.exp(logits - logits.max(1, keepdims=True))
    likely = expected.predict_proba((features[0] - mean) / deviation)
    np.testing.assert_allclose(exp / exp.sum(1, keepdims=True), likely, atol=1e-6)


def test_the_strength_has_the_lowest_log_loss_of_those_tried():
    features, labels = noisy(90, 3)
    lines = []
    found = fit_probe(features, labels, [""] * 90, on_try=lines.append)
    assert found.strength == min(found.log_losses, key=found.log_losses.get)
    assert len(lines) == len(found.log_losses) > 3


def test_patients_are_kept_together():
    """Each patient's images share noise that tells the class only to who saw the patient."""
    rng = np.random.default_rng(0)
    patients, labels = np.repeat(np.arange(30), 4), np.repeat(np.arange(30) % 2, 4)
    own = rng.normal(0, 1, (30, 40))[patients]
    features = np.stack([own + rng.normal(0, 0.05, own.shape)] * 2)
    apart = fit_probe(features, labels, [f"p{i}" for i in patients])
    mixed = fit_probe(features, labels, [""] * len(labels))
    assert min(mixed.log_losses.values()) < 0.35  # it knows the patients again
    assert min(apart.log_losses.values()) > 0.6


def test_a_single_patient_of_a_class_leaves_no_cross_validation():
    features, labels = noisy(20, 2)
    found = fit_probe(features, labels, ["p" if label else f"q{i}" for i, label in enumerate(labels)])
    assert found.log_losses == {}
    assert np.isfinite(found.weight).all()


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit", "hemf_nano"])
def test_the_last_layer_reads_the_features(name):
    model = timm.create_model(name, num_classes=3, **({"img_size": 32} if name == "test_vit" else {}))
    layer = last_layer(model, SPEC)
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        features = Features(model).forward_head(model.forward_features(images))
        torch.testing.assert_close(layer(features), model(images))


def test_a_network_without_a_linear_head_is_refused():
    with pytest.raises(HemfError, match="does not end in one linear layer"):
        last_layer(timm.create_model("conformer_base_patch16", num_classes=2), SPEC)
    model = timm.create_model("test_vit", img_size=32, num_classes=2)
    model.head = torch.nn.Linear(model.num_features, 2, bias=False)
    with pytest.raises(HemfError, match="one linear layer with a bias"):
        last_layer(model, SPEC)


def test_a_probed_run_is_a_run_like_any_other(train, capsys):
    run = train(probe=True, monitor="balanced_accuracy")
    about = json.loads((run.path / "probe.json").read_text())
    assert about["strength"] in map(float, about["log_loss"])
    assert "in cross-validation" in capsys.readouterr().out
    assert hemf.evaluate(str(run.path), device="cpu", resamples=0).metrics["accuracy"]["value"] > 0.8
    assert "probe has no epochs to add" in (hemf.train(resume=str(run.path)), capsys.readouterr().out)[1]


def test_a_probe_is_refused_to_further_processes(train, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as under torchrun
    with pytest.raises(HemfError, match="a probe is fitted by one process; start it without torchrun"):
        train(probe=True)


def test_a_probe_that_was_stopped_is_made_anew(train, tmp_path, monkeypatch):
    def stops(*_, **__):
        raise RuntimeError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr("hemf.training.probe.fit.fit_probe", stops)
        with pytest.raises(RuntimeError, match="stopped"):
            train(probe=True)
    path = tmp_path / "runs" / "run"
    assert not (path / "model").exists()
    hemf.train(resume=str(path))
    whole = train(probe=True, name="whole")
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (path, whole.path)]
    assert weights[0] == weights[1]
