"""A budget of time ends a training at the end of an epoch."""

import csv

import pytest

import hemf
from hemf import HemfError, RunConfig


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("0.5h", 1800)])
def test_times_are_read(text, seconds):
    assert RunConfig.of(budget=text).seconds == seconds


@pytest.mark.parametrize("text", ["30", "m", "0s", "30 m", "-1m", "1d", "30mm"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(HemfError, match=r"--budget is .*; give a time such as 90s, 30m or 1h30m"):
        RunConfig.of(budget=text)


def test_training_stops_before_an_epoch_that_would_not_fit(train, capsys):
    run = train(epochs=5, budget="0.001s")
    with open(run.path / "metrics.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 1
    assert (
        "stopping after epoch 1 of 5: another would go beyond the budget of 0.001s" in capsys.readouterr().out
    )
    assert hemf.train(resume=str(run.path)).best == run.best
    assert "more --budget" in capsys.readouterr().out


def test_a_budget_that_suffices_changes_nothing(train):
    one, other = train(name="one"), train(name="other", budget="1h")
    weights = [(run.path / "model" / "model.safetensors").read_bytes() for run in (one, other)]
    assert weights[0] == weights[1]


def test_each_fold_has_its_share(train):
    run = train(folds=2, epochs=1, budget="40s")
    assert [RunConfig.load(fold.path / "config.yaml").seconds for fold in run.folds] == [20, 20]
    assert RunConfig.load(run.path / "config.yaml").seconds == 40
