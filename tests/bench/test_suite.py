"""Suites: their files, their runs from first start to table, what fails, what is killed, what is skipped."""

import csv
import fcntl
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import timm
import yaml
from PIL import Image

import hemf.models  # noqa: F401  registers our models with timm
from hemf.bench.published import MODELS, TABLE_10, published_scores
from hemf.bench.results import paper_scores
from hemf.bench.suite import SUITES, chosen_rows, parse_suite, read_suite
from hemf.commands.bench import bench
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.losses import LOSSES

TINY = {
    "image_size": 32,
    "epochs": 1,
    "batch_size": 8,
    "workers": 0,
    "accelerator": "cpu",
    "precision": "fp32",
}
MINIMAL = {"title": "t", "rows": [{"model": "test_resnet"}], "data": {"noise": None}}


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> Path:
    """Twenty images of two classes as a CSV of two folds."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    lines = ["path,label,group,fold"]
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{'ab'[i % 2]},p{i},{i // 2 % 2}")
    (folder / "noise.csv").write_text("\n".join(lines))
    return folder / "noise.csv"


def write_suite(folder: Path, noise: Path, **keys) -> str:
    suite = MINIMAL | {"options": TINY, "folds": [0, 1], "data": {"noise": {"path": str(noise)}}} | keys
    (folder / "mine.yaml").write_text(yaml.safe_dump(suite))
    return str(folder / "mine.yaml")


def metrics_of(out: Path, row: str, run: str) -> dict:
    path = out / "mine" / "runs" / "noise" / row / run / "evaluation" / "test" / "metrics.json"
    return json.loads(path.read_text())


def results_of(out: Path) -> dict:
    return json.loads((out / "mine" / "results.json").read_text())


# Ready suites


def test_the_package_has_the_papers_suites():
    papers = ["paper-ablation", "paper-covid-ct", "paper-isic2018", "paper-kvasir"]
    assert SUITES.names() == ["imbalance", *papers, "smoke"]


@pytest.mark.parametrize("name", ["paper-isic2018", "paper-kvasir", "paper-covid-ct"])
def test_a_papers_suite_has_every_model_under_the_papers_recipe(name):
    suite = read_suite(name)
    assert tuple(row.name for row in suite.rows) == tuple(row.model for row in suite.rows) == MODELS
    (data,) = suite.data
    for row in suite.rows:
        config = suite.config(row)
        assert timm.is_model(row.model)
        assert (config.epochs, config.lr, config.batch_size, config.image_size) == (150, 1e-4, 32, 224)
        assert paper_scores(row, data) == published_scores(data, row.model) != {}


def test_the_imbalance_suite_has_every_loss_and_sampling_and_differs_in_nothing_else():
    suite = read_suite("imbalance")
    configs = [suite.config(row) for row in suite.rows]
    assert {config.loss for config in configs} == set(LOSSES)
    assert {config.sampling for config in configs} == set(get_args(get_type_hints(RunConfig)["sampling"]))
    ways = {"loss": "cross_entropy", "sampling": "natural", "class_weights": None}
    assert all(replace(config, **ways) == configs[0] for config in configs)


def test_the_kvasir_suite_averages_two_folds_by_the_papers_biased_protocol():
    suite = read_suite("paper-kvasir")
    assert suite.folds == [0, 1]
    assert suite.config(suite.rows[0]).val_split == "test"


def test_the_ablation_has_the_seven_rows_of_table_10_each_beside_its_own_numbers():
    rows = read_suite("paper-ablation").rows[:7]
    assert [row.title for row in rows] == [row.name for row in TABLE_10]
    assert [row.model_args for row in rows] == [row.model_args for row in TABLE_10]
    for row, printed in zip(rows, TABLE_10, strict=True):
        assert printed.scores.items() <= paper_scores(row, "isic2018").items()
        assert paper_scores(row, "kvasir").get("accuracy") != printed.scores["accuracy"]


def test_beside_them_stand_the_selections_of_stages_of_which_the_paper_prints_nothing():
    _, *ours = read_suite("paper-ablation").rows[6:]
    assert [row.model_args for row in ours] == [{"selection": "static"}, {"selection": "dynamic"}]
    assert {row.model for row in ours} == {"hemf_base"}
    assert [paper_scores(row, "isic2018") for row in ours] == [{}, {}]


@pytest.mark.slow
def test_the_smoke_suite_trains_and_measures_every_model(tmp_path, capsys):
    options = {"out": str(tmp_path), "accelerator": "cpu", "precision": "fp32", "epochs": 1}
    assert bench("smoke", **options) == 0, capsys.readouterr().out
    found = json.loads((tmp_path / "smoke" / "results.json").read_text())
    assert found["failures"] == []
    assert [row["title"] for row in found["rows"]][-2:] == ["CAME", "HEMF"]
    assert len(found["rows"]) == 11
    for row in found["rows"]:
        assert row["runs"][0]["n"] == 8
        assert min(row["cost"].values()) > 0
        assert row["paper"] == {}


# Suite files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": []}, "rows is empty"),
        ({"rows": ["hemf_base"]}, "row 1: 'hemf_base' is not a mapping"),
        ({"rows": [{"modle": "x"}]}, "did you mean model"),
        ({"rows": [{"name": "x"}]}, "row 1: the key 'model' is missing"),
        ({"rows": [{"model": 3}]}, "row 1: model is 3; it must be str"),
        ({"rows": [{"model": "a"}, {"model": "a"}]}, "rows has 'a' twice"),
        ({"rows": [{"model": "a", "name": "../a"}]}, "not a name for a folder"),
        ({"rows": [{"model": "a", "options": {"epochz": 1}}]}, "did you mean epochs"),
        ({"options": {"seed": 1}}, "'seed' cannot be set here; give --seeds"),
        ({"options": {"epochs": 0}}, "epochs is 0"),
        ({"recipe": "papre"}, "no recipe 'papre'"),
        ({"seeds": [0, 0]}, "seeds has 0 twice"),
        ({"seeds": [True]}, r"seeds is \[True\]; it must be list\[int\]"),
        ({"folds": 2}, r"folds is 2; it must be list\[int\] \| None"),
        ({"data": {"noise": {"demo": {"lesions": "x"}}}}, "data noise: demo is"),
        ({"titel": "x"}, "did you mean title"),
    ],
)
def test_a_faulty_suite_is_refused_in_one_line(tmp_path, noise, change, message):
    with pytest.raises(HemfError, match=message) as error:
        bench(write_suite(tmp_path, noise, **change), out=str(tmp_path / "out"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_what_is_no_suite_is_refused(tmp_path):
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    (tmp_path / "odd.yaml").write_text("a: [1\n")
    for path, message in (
        ("list.yaml", "is not a mapping"),
        ("odd.yaml", "not YAML"),
        ("none.yaml", "no suite"),
    ):
        with pytest.raises(HemfError, match=message):
            read_suite(str(tmp_path / path))


def test_missing_data_are_named_with_the_command_that_prepares_them(tmp_path):
    with pytest.raises(
        HemfError, match=r"no data set kvasir at .*prepare kvasir --root RELEASE --split paper"
    ):
        bench("paper-kvasir", root=str(tmp_path), out=str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "came"}, "--only"),
        ({"seed": 1}, "--seeds"),
        ({"devices": 4}, "one device"),
        ({"seeds": "a"}, "whole numbers"),
        ({"only": "test_resnett"}, "did you mean test_resnet"),
        ({"folds": "7"}, "no fold 7"),
        ({"cluster_args": {"timeout_min": 1}}, "--cluster"),
        ({"epochz": 1}, "did you mean epochs"),
    ],
)
def test_options_that_a_suite_does_not_take_are_refused(tmp_path, noise, options, message):
    with pytest.raises(HemfError, match=message):
        bench(write_suite(tmp_path, noise), out=str(tmp_path / "out"), **options)


def test_rows_are_chosen_by_name_in_the_suites_order():
    suite = parse_suite(MINIMAL | {"rows": [{"model": m} for m in ("a", "b", "c")]})
    assert [row.name for row in chosen_rows(suite, ["c", "a"])] == ["a", "c"]


# Runs and results


@pytest.fixture(scope="module")
def benched(tmp_path_factory, noise) -> tuple[Path, str, int]:
    """A suite of two models, one of them unknown, with two seeds and two folds: folder, file, exit code."""
    folder = tmp_path_factory.mktemp("benched")
    rows = [{"model": "no_such_model"}, {"model": "test_resnet", "title": "Small & wide"}]
    suite = write_suite(folder, noise, rows=rows, seeds=[0, 1])
    return folder / "out", suite, bench(suite, out=str(folder / "out"))


def test_a_model_that_fails_is_recorded_and_the_others_go_on(benched):
    out, _, code = benched
    assert code == 1
    found = results_of(out)
    assert len(found["failures"]) == 4
    assert all("no model 'no_such_model'" in line for line in found["failures"])
    assert [[run["state"] for run in row["runs"]] for row in found["rows"]] == [["failed"] * 4, ["done"] * 4]
    failure = out / "mine" / "runs" / "noise" / "no_such_model" / "seed0-fold1.failed.json"
    assert "Traceback" in json.loads(failure.read_text())["traceback"]


def test_each_measure_is_averaged_over_the_folds_and_then_over_the_seeds(benched):
    out, _, _ = benched
    row = results_of(out)["rows"][1]
    for name in ("accuracy", "f1_macro", "mcc", "roc_auc_macro"):
        of = {
            seed: [
                metrics_of(out, "test_resnet", f"seed{seed}-fold{k}")["metrics"][name]["value"]
                for k in (0, 1)
            ]
            for seed in (0, 1)
        }
        seeds = [statistics.fmean(values) for values in of.values()]
        assert row["measures"][name]["mean"] == pytest.approx(statistics.fmean(seeds))
        assert row["measures"][name]["std"] == pytest.approx(statistics.stdev(seeds))


def test_the_interval_pools_the_folds_but_not_the_seeds(benched):
    accuracy = results_of(benched[0])["rows"][1]["measures"]["accuracy"]
    assert accuracy["n"] == 20
    p, n, z = round(accuracy["mean"] * 20) / 20, 20, 1.959964
    middle, half = (p + z * z / (2 * n)), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    wilson = [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]
    assert accuracy["ci95"] == pytest.approx(wilson, abs=1e-6)


def test_the_table_is_written_for_people_and_programs(benched):
    folder = benched[0] / "mine"
    row = results_of(benched[0])["rows"][1]
    text = f"{100 * row['measures']['accuracy']['mean']:.2f} ± {100 * row['measures']['accuracy']['std']:.2f}"
    markdown, latex = (folder / "table.md").read_text(), (folder / "table.tex").read_text()
    assert "| Small & wide | " in markdown
    assert text in markdown
    assert r"Small \& wide" in latex
    assert text.replace("±", r"$\pm$") in latex
    assert "no model 'no_such_model'" in markdown
    failed, done = csv.DictReader((folder / "table.csv").open())
    assert (failed["done"], failed["accuracy"], done["done"]) == ("0/4", "", "4/4")
    assert float(done["accuracy_std"]) == row["measures"]["accuracy"]["std"]
    assert (
        int(done["params"])
        == row["cost"]["params"]
        == sum(p.numel() for p in timm.create_model("test_resnet", num_classes=2).parameters())
    )
    assert int(done["macs_torch"]) > 0


def test_the_same_command_again_skips_what_is_done_and_tries_again_what_failed(benched, capsys):
    out, suite, _ = benched
    times = [path.stat().st_mtime_ns for path in sorted(out.glob("mine/runs/noise/test_resnet/*/model/*"))]
    assert bench(suite, out=str(out)) == 1
    assert times == [p.stat().st_mtime_ns for p in sorted(out.glob("mine/runs/noise/test_resnet/*/model/*"))]
    said = capsys.readouterr().out
    assert "8 runs, 4 done already" in said
    assert "[4/4] no_such_model" in said
    assert bench(suite, only="test_resnet", out=str(out)) == 0


def test_runs_made_otherwise_are_not_mixed_in(benched, noise, tmp_path):
    out, suite, _ = benched
    with pytest.raises(HemfError, match="was made with --epochs 1, not 2"):
        bench(suite, out=str(out), epochs=2)
    rows = noise.read_text().splitlines()
    other = noise.with_name("other.csv")
    other.write_text("\n".join(rows[:-2]))
    with pytest.raises(HemfError, match="other images"):
        bench(suite, out=str(out), data=str(other))


def test_a_run_that_another_process_is_at_is_left_alone(tmp_path, noise):
    suite, out = write_suite(tmp_path, noise, folds=[0]), tmp_path / "out"
    lock = out / "mine" / "runs" / "noise" / "test_resnet" / ".seed0-fold0.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert bench(suite, out=str(out)) == 1
    assert "another process" in results_of(out)["failures"][0]
    assert bench(suite, out=str(out)) == 0
    assert results_of(out)["failures"] == []


@pytest.mark.slow
def test_a_killed_suite_resumes_the_run_it_was_in(tmp_path, noise):
    suite, out = write_suite(tmp_path, noise, folds=[0]), tmp_path / "out"
    command = [sys.executable, "-m", "hemf", "bench", suite, "--out", str(out), "--epochs", "12"]
    run = out / "mine" / "runs" / "noise" / "test_resnet" / "seed0-fold0"
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (run / "checkpoints" / "last.ckpt").exists() and first.poll() is None:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not (run / "model").exists()
    started = json.loads((run / "environment.json").read_text())["started"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert f"resuming {run} after epoch" in again.stdout.replace("\n", " ")
    assert json.loads((run / "environment.json").read_text())["started"] == started
    with (run / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(epoch) for epoch in range(1, 13)]


# Clusters


def test_runs_go_as_jobs_through_submitit(tmp_path, noise):
    pytest.importorskip("submitit")
    rows = [{"model": "test_resnet"}, {"model": "no_such_model"}]
    suite, out = write_suite(tmp_path, noise, rows=rows, folds=[1]), tmp_path / "out"
    assert bench(suite, out=str(out), cluster="debug") == 1
    states = [row["runs"][0]["state"] for row in results_of(out)["rows"]]
    assert states == ["done", "failed"]


@pytest.mark.slow
def test_each_run_has_a_process_of_its_own(tmp_path, noise):
    pytest.importorskip("submitit")
    suite, out = write_suite(tmp_path, noise, folds=[0]), tmp_path / "out"
    assert bench(suite, out=str(out), cluster="local", cluster_args={"timeout_min": 20}) == 0
    environment = results_of(out)["rows"][0]["runs"][0]["environment"]
    assert environment["command"].startswith("_submit.py")


def test_a_cluster_without_submitit_says_what_to_install(tmp_path, noise, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(HemfError, match=r"pip install 'hemf\[cluster\]'"):
        bench(write_suite(tmp_path, noise), out=str(tmp_path / "out"), cluster="slurm")
