"""``hemf train --folds``: a run a fold, the same when killed, on folds that keep patients together."""

import json
from pathlib import Path

import pytest
from pytorch_lightning.utilities import rank_zero_only

import hemf
from hemf import HemfError, RunConfig
from hemf.data.dataset import DataSet, Sample
from hemf.data.manifest import read_data_set, write_data_set
from hemf.runs.folder import Run, fold_paths, open_run
from hemf.training import cross_validation
from hemf.training.module import ImageClassifier


@pytest.fixture
def patients(colours, tmp_path) -> Path:
    """The colours as a prepared data set of 30 patients with three images each."""
    files = sorted(colours.glob("*/*/*.png"))
    samples = [
        Sample(file.relative_to(colours).as_posix(), file.parent.name, group=f"p{i // 3}")
        for i, file in enumerate(files)
    ]
    data = DataSet("patients", ["blue", "green", "red"], samples, colours)
    write_data_set(hemf.data.splits.split_data(data), tmp_path / "patients")
    return tmp_path / "patients"


def test_every_image_is_tested_once_and_no_patient_is_on_two_sides(train, patients):
    run = train(data=str(patients), folds=3, epochs=1, seed=5)
    assert [fold.path for fold in run.folds] == [run.path / f"fold{i}" for i in range(3)]
    assert {p.name for p in run.path.iterdir()} == {
        *("config.yaml", "manifest.csv", "dataset.json", "environment.json", "fingerprints.csv"),
        *("fold0", "fold1", "fold2"),
    }
    tested = []
    for i, fold in enumerate(run.folds):
        opened = open_run(fold.path)
        assert (opened.config.fold, opened.config.seed) == (i, 5)
        assert not opened.data.leaking_groups()
        assert opened.data.subset("val")
        tested += [s.path for s in opened.data.subset("test")]
    whole = read_data_set(run.path)
    assert sorted(tested) == sorted(s.path for s in whole.samples)
    assert whole.info["split"] == {"method": "grouped-kfold", "seed": 0, "folds": 3, "val": 0.1}


def test_each_fold_learns_from_the_run_that_left_the_same_images_out(train, patients):
    teachers = train(data=str(patients), folds=2, epochs=1, name="teachers")
    taught = train(data=str(patients), folds=2, epochs=1, name="taught", teacher=str(teachers.path))
    for teacher, student in zip(teachers.folds, taught.folds, strict=True):
        weights = [path / "model.safetensors" for path in (teacher.path / "model", student.path / "teacher")]
        assert weights[0].read_bytes() == weights[1].read_bytes()
    with pytest.raises(HemfError, match="has other images or folds than this one"):
        train(data=str(patients), folds=3, epochs=1, name="other", teacher=str(teachers.path))


def test_further_processes_know_where_the_cross_validation_is(train, patients, tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as under torchrun; Lightning tells it each fold's folder
    monkeypatch.setattr(
        cross_validation, "begin", lambda config, *_, **__: Run(tmp_path / f"fold{config.fold}", {})
    )
    run = train(data=str(patients), folds=3, epochs=1)
    assert (run.path, len(run.folds)) == (tmp_path, 3)


def test_a_fold_is_what_the_fold_alone_would_be(train, patients, tmp_path):
    run = train(data=str(patients), folds=3, epochs=1)
    alone = train(data=str(run.path), fold=1, epochs=1, name="alone")
    weights = [path / "model" / "model.safetensors" for path in (alone.path, run.folds[1].path)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_data_prepared_in_folds_keep_them(train, patients, tmp_path):
    data = hemf.data.splits.split_data(read_data_set(patients), "grouped-kfold", folds=4, seed=9, val=0.2)
    write_data_set(data, tmp_path / "four")
    with pytest.raises(HemfError, match="is prepared in 4 folds; give --folds 4"):
        train(data=str(tmp_path / "four"), folds=3)
    run = train(data=str(tmp_path / "four"), folds=4, epochs=1)
    assert read_data_set(run.path).hash == data.hash
    assert open_run(run.folds[2].path).data.hash == data.for_fold(2).hash


def test_stopped_it_goes_on_where_it_was(train, patients, monkeypatch, capsys):
    whole = train(data=str(patients), folds=3, name="whole")
    begin, begun = cross_validation.begin, []

    def stops(config, data, *more, **others):
        begun.append(config.fold)
        if config.fold == 1:
            steps = iter(range(9))  # into the second epoch
            original = ImageClassifier.training_step

            def step(self, batch, batch_idx):
                if next(steps) == 8:
                    raise KeyboardInterrupt
                return original(self, batch, batch_idx)

            with monkeypatch.context() as patch:
                patch.setattr(ImageClassifier, "training_step", step)
                return begin(config, data, *more, **others)
        return begin(config, data, *more, **others)

    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "begin", stops)
        with pytest.raises(KeyboardInterrupt):
            train(data=str(patients), folds=3, name="stopped")
    stopped = whole.path.parent / "stopped"
    assert begun == [0, 1]
    assert f"goes on with: hemf train --resume {stopped}\n" in capsys.readouterr().out
    with pytest.raises(HemfError, match="has not finished"):
        open_run(stopped / "fold1")
    run = hemf.train(resume=str(stopped))
    for one, other in zip(run.folds, whole.folds, strict=True):
        weights = [path / "model" / "model.safetensors" for path in (one.path, other.path)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
    assert [fold.best for fold in run.folds] == [fold.best for fold in whole.folds]


def test_more_epochs_reach_every_fold_though_stopped_between_them(train, patients, monkeypatch):
    run = train(data=str(patients), folds=2, epochs=1)
    (run.path / "evaluation").mkdir()
    original = cross_validation.take_up

    def second_fails(path, config, *more):
        if path.name == "fold1":
            raise OSError("power cut")
        return original(path, config, *more)

    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "take_up", second_fails)
        with pytest.raises(OSError, match="power cut"):
            hemf.train(resume=str(run.path), epochs=2)
    assert not (run.path / "evaluation").exists()
    hemf.train(resume=str(run.path))
    for fold in run.folds:
        assert len((fold.path / "metrics.csv").read_text().splitlines()) == 1 + 2


def test_verbs_for_one_model_ask_for_one_fold(train, patients):
    run = train(data=str(patients), folds=2, epochs=1)
    assert fold_paths(run.path) == [fold.path for fold in run.folds]
    assert fold_paths(run.folds[0].path) == fold_paths(patients) == []
    with pytest.raises(HemfError, match=r"is a cross-validation of 2 runs; give one of them, .*run/fold0$"):
        open_run(run.path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 2, "fold": 0}, "--fold trains one fold and --folds all of them"),
        ({"folds": 1}, "cannot make 1 fold "),
        ({"folds": 31}, "cannot make 31 folds of patients; give 2 to 30"),
        ({"folds": 2, "val_split": "none", "patience": 3}, "early stopping needs validation images"),
        ({"folds": 2, "monitor": "acuracy"}, "no metric 'acuracy'"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(
    train, patients, tmp_path, options, message
):
    with pytest.raises(HemfError, match=message):
        train(data=str(patients), **options)
    assert not (tmp_path / "runs").exists()


def test_resume_refuses_other_folds(train, patients):
    run = train(data=str(patients), folds=2, epochs=1)
    with pytest.raises(HemfError, match="keeps its own --folds"):
        hemf.train(resume=str(run.path), folds=2)
    manifest = run.path / "manifest.csv"
    manifest.write_text(
        manifest.read_text().replace(",0\n", ",x\n", 1).replace(",1\n", ",0\n", 1).replace(",x\n", ",1\n")
    )
    with pytest.raises(HemfError, match=r"manifest\.csv is not the one the cross-validation began with"):
        hemf.train(resume=str(run.path))
    assert json.loads((run.path / "dataset.json").read_text())["hash"] != read_data_set(run.path).hash
    assert RunConfig.of(str(run.path / "config.yaml")).fold is None


def test_folds_share_the_cache_of_the_prepared_data(train, patients):
    run = train(data=str(patients), folds=2, epochs=1, cache=True)
    for path in (run.path, *(fold.path for fold in run.folds)):
        assert RunConfig.of(str(path / "config.yaml")).cache_dir == str(patients / "cache")
    assert (patients / "cache").is_dir()
    assert not (run.path / "cache").exists()
    hemf.train(resume=str(run.path), epochs=2)
    assert RunConfig.of(str(run.folds[1].path / "config.yaml")).cache_dir == str(patients / "cache")
    assert not (run.path / "cache").exists()


def test_the_test_images_stay_out_of_all_folds(train, patients):
    run = train(data=str(patients), folds=3, keep_test=True, epochs=1)
    before, whole = read_data_set(patients), read_data_set(run.path)
    test = {s.path for s in before.subset("test")}
    assert {s.path for s in whole.samples if s.fold is None} == test == {s.path for s in whole.subset("test")}
    validated = []
    for fold in run.folds:
        data = open_run(fold.path).data
        assert not data.leaking_groups()
        assert {s.path for s in data.subset("test")} == test
        validated += [s.path for s in data.subset("val")]
        assert len(data.subset("train")) + len(data.subset("val")) + len(test) == len(before.samples)
    assert sorted([*validated, *test]) == sorted(s.path for s in before.samples)
    again = hemf.train(resume=str(run.path), epochs=2)
    assert [fold.path for fold in again.folds] == [fold.path for fold in run.folds]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep_test": True}, "--keep-test goes with --folds"),
        ({"keep_test": True, "folds": 3, "val_split": "test"}, "leave out --val-split"),
    ],
)
def test_keeping_the_test_images_needs_folds_that_validate(train, patients, options, words):
    with pytest.raises(HemfError, match=words):
        train(data=str(patients), epochs=1, **options)


def test_data_in_folds_alone_have_no_test_images_to_keep(train, patients, tmp_path):
    data = hemf.data.splits.split_data(read_data_set(patients), "grouped-kfold", folds=3)
    write_data_set(data, tmp_path / "folds")
    with pytest.raises(HemfError, match="no test images to keep out"):
        train(data=str(tmp_path / "folds"), folds=3, keep_test=True, epochs=1)
