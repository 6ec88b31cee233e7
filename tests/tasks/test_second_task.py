"""A toy second task, independent sigmoids, from options to predictions: only registrations are needed."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MeanMetric, Metric

import hemf
from hemf.core.errors import HemfError
from hemf.inference.load import load_trained
from hemf.losses import LOSSES
from hemf.tasks import TASKS
from hemf.training.validation_metrics import VALIDATION_METRICS


class Sigmoids:
    """Each class is there or not, whatever the others are; a label names one, or several with "|" between."""

    name, losses, monitored, exclusive = "sigmoids", ("binary",), {"loss": "min"}, False

    def outputs(self, classes):
        return classes

    def encode(self, label, classes):
        return np.array([name in label.split("|") for name in classes], np.float32)

    def decode(self, target, classes):
        return "|".join(name for name, there in zip(classes, target, strict=True) if there)

    def probabilities(self, logits, temperature=1.0):
        return (logits.double() / temperature).sigmoid()

    def logits(self, probabilities):
        return probabilities.logit(1e-12)

    def decide(self, probabilities):
        return (probabilities >= 0.5).astype(np.float32)


class Loss(MeanMetric):
    def __init__(self, outputs):
        super().__init__()

    def update(self, logits, targets):
        super().update(nn.functional.binary_cross_entropy_with_logits(logits, targets))

    def compute(self):
        return {"loss": super().compute()}


@pytest.fixture
def sigmoids() -> Iterator[Sigmoids]:
    task = Sigmoids()
    added: list[tuple] = [(TASKS, "sigmoids", task), (VALIDATION_METRICS, "sigmoids", Loss)]
    added.append((LOSSES, "binary", lambda config, counts: nn.BCEWithLogitsLoss()))
    for registry, name, thing in added:
        registry.register(name)(thing)
    yield task
    for registry, name, _ in added:
        del registry[name]


def test_it_trains_and_predicts_and_its_model_names_it(sigmoids, train, colours, capsys):
    assert issubclass(Loss, Metric)
    run = train(epochs=1, task="sigmoids", loss="binary", monitor="loss")
    assert json.loads((run.path / "model" / "config.json").read_text())["hemf"]["task"] == "sigmoids"
    assert run.best["val_loss"] > 0
    assert "calibrated" not in capsys.readouterr().out
    trained = load_trained(run.path / "model")
    assert trained.task is sigmoids
    images = sorted((colours / "test" / "red").glob("*.png"))
    found = hemf.load(run.path, "fp32", "cpu").predict(images, workers=0)
    assert len(found) == 8
    for one in found:
        chances = np.array(list(one.probabilities.values()))
        assert one.label == "|".join(name for name, p in one.probabilities.items() if p >= 0.5)
        assert one.probability == chances.max()
    sums = [sum(one.probabilities.values()) for one in found]
    assert not np.allclose(sums, 1, atol=1e-3)  # a softmax would make them so


def test_what_nobody_has_registered_for_it_is_one_line(sigmoids, train):
    run = train(epochs=1, task="sigmoids", loss="binary", monitor="loss")
    with pytest.raises(HemfError, match=r"^no measures for the task 'sigmoids'; give one of multiclass$"):
        hemf.evaluate(str(run.path), device="cpu", workers=0)
    with pytest.raises(HemfError, match=r"^no calibration for the task 'sigmoids'; give one of multiclass$"):
        hemf.calibrate(str(run.path), device="cpu", workers=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "multiclas"}, "^no task 'multiclas'; did you mean multiclass\\?$"),
        ({"task": "sigmoids", "loss": "binary"}, "^no metric 'accuracy' to monitor; give one of loss$"),
        (
            {"task": "sigmoids", "monitor": "loss"},
            "^the loss cross_entropy is not for the task sigmoids; give one of binary$",
        ),
        (
            {"task": "sigmoids", "loss": "binary", "monitor": "loss", "mixup": 0.2},
            "^--mixup supposes one class an image, unlike the task sigmoids; leave it out$",
        ),
        ({"loss": "binary"}, "^the loss binary is not for the task multiclass; give another$"),
        ({"monitor": "acuracy"}, "^no metric 'acuracy' to monitor; give one of loss, accuracy"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_read(sigmoids, tmp_path, options, message):
    with pytest.raises(HemfError, match=message):
        hemf.train(data=str(tmp_path), recipe="paper", **options)


@pytest.mark.parametrize(
    ("task", "message"), [("segmentatoin", "no task 'segmentatoin'; give one of"), ([1], "is not a name")]
)
def test_a_model_of_an_unknown_task_is_one_line(made_run, task, message):
    file = made_run / "model" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"hemf": {"task": task}}))
    with pytest.raises(HemfError, match=message):
        load_trained(made_run / "model")


def test_a_model_that_names_no_task_has_one_class_an_image(made_run):
    trained = load_trained(made_run / "model")
    assert trained.task is TASKS["multiclass"]
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]])
    assert torch.equal(trained.task.probabilities(logits, 2.0), (logits.double() / 2).softmax(1))
    assert trained.task.decide(trained.task.probabilities(logits).numpy()).tolist() == [1, 0]
