"""A run that goes on from a probe keeps the better of the two."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import hemf
from hemf import HemfError
from hemf.training.callbacks.checkpoints import read_checkpoint
from hemf.training.probe.compare import paired_difference


def weights_of(run):
    return load_file(run.path / "model" / "model.safetensors")


def checkpoint_of(run, name):
    state = read_checkpoint(run.path / "checkpoints" / name)["state_dict"]
    return {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}


def same(one, other) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_ruins_the_probe_is_not_kept(train, capsys):
    run = train(probe_first=True, epochs=2, lr=1.0, monitor="loss")
    about = json.loads((run.path / "probe.json").read_text())
    assert about["compared"]["kept"] == "probe"
    assert run.best == about["best"]
    assert run.best["epoch"] == 0
    assert same(weights_of(run), checkpoint_of(run, "probe.ckpt"))
    assert not same(weights_of(run), checkpoint_of(run, "best.ckpt"))
    said = capsys.readouterr().out
    assert "the probe is kept" in said
    assert "probe, best val loss" in said
    assert hemf.train(resume=str(run.path)).best == run.best


def test_what_betters_the_probe_is_kept(train, capsys):
    """A probe of a network that is not trained is poor, and these colours are learnt in a few epochs."""
    run = train(probe_first=True, epochs=10, monitor="loss", image_size=32)
    about = json.loads((run.path / "probe.json").read_text())
    gain = about["compared"]["difference"]
    assert (about["compared"]["kept"] == "tuned") == (gain > about["compared"]["error"])
    assert about["compared"]["kept"] == "tuned"
    assert run.best["epoch"] >= 1
    assert same(weights_of(run), checkpoint_of(run, "best.ckpt"))
    assert "tuned is kept" in capsys.readouterr().out


def test_one_that_was_killed_before_the_end_chooses_alike(train, monkeypatch):
    whole = train(probe_first=True, epochs=2, name="whole")

    def stops(*_, **__):
        raise RuntimeError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr("hemf.training.classification.finish", stops)
        with pytest.raises(RuntimeError, match="stopped"):
            train(probe_first=True, epochs=2)
    stopped = hemf.train(resume=str(whole.path.with_name("run")))
    assert same(weights_of(stopped), weights_of(whole))
    assert (stopped.path / "probe.json").read_text() == (whole.path / "probe.json").read_text()


def test_training_goes_on_from_the_probe(train):
    run = train(probe_first=True, epochs=1, lr=0.0, freeze_norm=True)
    assert same(checkpoint_of(run, "best.ckpt"), checkpoint_of(run, "probe.ckpt"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"val_split": "none"}, "--probe-first needs validation images"),
        ({"probe": True}, "give one of the two"),
    ],
)
def test_what_cannot_be_compared_is_refused(train, options, said):
    with pytest.raises(HemfError, match=said):
        train(probe_first=True, **options)


def test_the_standard_error_is_that_of_groups():
    rng = np.random.default_rng(0)
    one = rng.normal(1, 1, 400)
    better, error = paired_difference(one, np.zeros(400), [f"image {i}" for i in range(400)])
    assert better == pytest.approx(one.mean())
    assert error == pytest.approx(one.std(ddof=1) / 20)
    _, of_groups = paired_difference(np.repeat(one, 4), np.zeros(1600), [f"p{i // 4}" for i in range(1600)])
    assert of_groups == pytest.approx(error)  # four copies tell no more than one
