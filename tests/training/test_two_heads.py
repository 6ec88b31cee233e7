"""A model with two heads trains on the mean of their losses."""

import pytest
import torch
import torch.nn.functional as F

from hemf.config.run_config import RunConfig
from hemf.training.module import ImageClassifier

SMALL = {
    "conformer_base_patch16": {"dims": [16, 32, 64], "embed_dim": 24, "num_heads": 3},
    "hemf_nano": {},
}


def step(model, monkeypatch):
    """(loss of a training step on a batch, the same batch's outputs and labels)."""
    config = RunConfig.of("paper", model=model, model_args=SMALL[model], image_size=32)
    classifier = ImageClassifier(config, counts=[2, 2, 2], paths=["image.png"] * 4)
    monkeypatch.setattr(classifier, "log", lambda *_, **__: None)
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    outputs = classifier.model(images)
    loss = classifier.training_step({"image": images, "label": labels, "index": torch.arange(4)}, 0)
    assert classifier.eval()(images).shape == (4, 3)
    return loss, outputs, labels, config.label_smoothing


def test_conformer_trains_on_the_mean_of_two_cross_entropies(monkeypatch):
    loss, heads, labels, smoothing = step("conformer_base_patch16", monkeypatch)
    assert len(heads) == 2
    losses = [F.cross_entropy(logits, labels, label_smoothing=smoothing).item() for logits in heads]
    assert loss.item() == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_one_head_trains_on_its_own(monkeypatch):
    loss, logits, labels, smoothing = step("hemf_nano", monkeypatch)
    assert loss.item() == pytest.approx(
        F.cross_entropy(logits, labels, label_smoothing=smoothing).item(), rel=1e-5
    )
