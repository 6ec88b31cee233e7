import shutil

import pytest

from hemf import HemfError, RunConfig, load_data
from hemf.runs.folder import make_run, open_run, run_path


@pytest.fixture
def run(colours, tmp_path):
    config = RunConfig(data=str(colours), out=str(tmp_path / "runs"), model="local-dir:some/where")
    data = load_data(colours)
    path = run_path(config, data)
    make_run(path, config, data, "bf16", 1)
    return path


def add_model(folder):
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).touch()


def test_a_run_is_named_after_data_model_and_time(run):
    assert run.name.startswith("colours-where-20")


def test_a_model_is_found_from_the_run_and_alone(run, tmp_path):
    add_model(run / "model")
    assert open_run(run).model == run / "model"
    assert open_run(run / "model").path == run
    assert open_run(run).config.model == "local-dir:some/where"
    assert len(open_run(str(run)).data.samples) == 90
    alone = tmp_path / "copied"
    shutil.copytree(run / "model", alone)
    assert open_run(alone).path is None
    with pytest.raises(HemfError, match="a model without its run"):
        _ = open_run(alone).data


def test_what_is_no_run_is_said(run, tmp_path):
    with pytest.raises(HemfError, match="has not finished; continue it with hemf train --resume"):
        open_run(run)
    with pytest.raises(HemfError, match="no run at"):
        open_run(tmp_path / "none")
    with pytest.raises(HemfError, match="neither a run nor a model folder"):
        open_run(tmp_path)


def test_a_failed_start_leaves_nothing(colours, tmp_path, monkeypatch):
    def full(*_):
        raise HemfError("disk full")

    monkeypatch.setattr("hemf.runs.folder.write_json", full)
    with pytest.raises(HemfError, match="disk full"):
        make_run(tmp_path / "runs" / "x", RunConfig(), load_data(colours), "fp32", 1)
    assert list((tmp_path / "runs").iterdir()) == []
