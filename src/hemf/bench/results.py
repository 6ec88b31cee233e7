"""What a suite has found so far: read from its runs' folders, averaged, and laid out as one table."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from hemf.bench.plan import PlannedRun
from hemf.bench.published import CORRECTED, DATA, SOURCE, TABLE_6, TABLE_10, Cost, Scores, published_scores
from hemf.bench.suite import Row, Suite
from hemf.config.run_config import RunConfig
from hemf.core.files import write_json, write_text
from hemf.core.tables import Column, Table
from hemf.metrics.classification import proportion
from hemf.report.terminal import provenance_lines

INTERVAL = (
    "The 95% interval is Wilson's, of the mean accuracy, on the test images of all folds; other seeds test "
    "the same images, so they do not narrow it. It says what other images of the kind might have given."
)
COUNTS = "MACs: multiply-adds on one image, torch's flop counter halved; results.json has thop's count too."
SPREAD = "± is the standard deviation over the seeds."


def collect(suite: Suite, runs: Sequence[PlannedRun]) -> list[dict[str, Any]]:
    """Return one entry for each row and data set, in the suite's order, with all its runs in whatever state.

    Each measure is averaged over the folds of a seed, by itself, as the paper does; seeds with a run missing
    do not count. Then follow the mean and standard deviation (n - 1) over the seeds.
    """
    groups = groupby(runs, key=lambda run: (run.data, run.row.name))
    return [_entry(suite, list(of_row)) for _, of_row in groups]


def _entry(suite: Suite, runs: list[PlannedRun]) -> dict[str, Any]:
    row, data = runs[0].row, runs[0].data
    read = [_read(run) for run in runs]
    costs = [one["cost"] for one in read if "cost" in one]
    paper = paper_scores(row, data)
    return {
        "row": row.name,
        "title": row.title,
        "data": data,
        "model": row.model,
        "model_args": row.model_args,
        "recipe": row.recipe or suite.recipe,
        "options": _options(runs[0].config),
        "cost": costs[0] if costs else None,
        "paper_cost": cost._asdict() if (cost := _paper_cost(row, data)) else None,
        "paper": paper,
        "paper_corrected": CORRECTED.get((data, row.model), {}) if paper else {},
        "measures": _measures(read),
        "runs": read,
    }


def _read(run: PlannedRun) -> dict[str, Any]:
    """Return where a run stands, and what is known of it."""
    config = run.config
    about = {"seed": config.seed, "fold": config.fold, "path": str(run.path)}
    if run.done:
        report = json.loads(run.metrics.read_text(encoding="utf-8"))
        cost = json.loads((run.path / "cost.json").read_text(encoding="utf-8"))
        values = {name: measure["value"] for name, measure in report["metrics"].items()}
        notes, where = provenance_lines(report), report["environment"]
        about |= {"state": "done", "n": report["n"], "metrics": values, "cost": cost}
        return about | {"notes": notes, "environment": where}
    if run.failure.is_file():
        return about | {
            "state": "failed",
            "error": json.loads(run.failure.read_text(encoding="utf-8"))["error"],
        }
    return about | {"state": "begun" if run.path.exists() else "not run"}


def paper_scores(row: Row, data: str) -> Scores:
    """Return what the paper prints for a row, as fractions; empty if nothing."""
    if data not in DATA:
        return {}
    if not row.model_args:
        return published_scores(data, row.model)
    table = TABLE_10 if (data, row.model) == ("isic2018", "hemf_base") else ()
    return next((one.scores for one in table if one.model_args == row.model_args), {})


def _paper_cost(row: Row, data: str) -> Cost | None:
    return TABLE_6.get(row.model) if data in DATA and not row.model_args else None


def _measures(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and spread of each measure over the seeds that are complete; None where a run has no value."""
    seeds: dict[int, list[dict[str, Any]]] = {}
    for run in runs:
        seeds.setdefault(run["seed"], []).append(run)
    whole = {seed: of for seed, of in seeds.items() if all(run["state"] == "done" for run in of)}
    if not whole:
        return {}
    measures = {}
    for name in next(iter(whole.values()))[0]["metrics"]:
        values = {seed: _mean([run["metrics"][name] for run in of]) for seed, of in whole.items()}
        known = _all_known(values.values())
        spread = stdev(known) if len(known) > 1 else None
        measures[name] = {"mean": fmean(known) if known else None, "std": spread, "seeds": values}
    measures["accuracy"] |= _pooled(list(whole.values()))
    return measures


def _mean(values: Iterable[float | None]) -> float | None:
    known = _all_known(values)
    return fmean(known) if known else None


def _all_known(values: Iterable[float | None]) -> list[float]:
    """The values, or none of them where one is unknown."""
    known = list(values)
    return [] if None in known else [value for value in known if value is not None]


def _pooled(seeds: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return Wilson's interval of the accuracy over the images of all folds, hits averaged over the seeds."""
    n = sum(run["n"] for run in seeds[0])
    hits = fmean(sum(run["metrics"]["accuracy"] * run["n"] for run in of) for of in seeds)
    return {"n": n, "ci95": proportion(round(hits), n)["ci95"]}


def failures(entries: list[dict[str, Any]]) -> list[str]:
    """Return a line for each run that failed."""
    return [
        f"{entry['row']} on {entry['data']}, seed {run['seed']}"
        + (f", fold {run['fold']}" if run["fold"] is not None else "")
        + f" failed: {run['error']}"
        for entry in entries
        for run in entry["runs"]
        if run["state"] == "failed"
    ]


def table(suite: Suite, entries: list[dict[str, Any]]) -> Table:
    """Return the table that people read: per cent, and the rows of which any run was begun."""
    entries = [entry for entry in entries if _begun(entry)]
    printed = any(entry["paper"] for entry in entries)
    columns = [
        Column("title", "model"),
        *([Column("data", "data")] if len(suite.data) > 1 else []),
        Column("millions", "params, M", ".2f"),
        Column("macs", "MACs, G", ".2f"),
        Column("accuracy_text", "accuracy, %"),
        Column("interval_text", "95% interval"),
        *([Column("accuracy_percent", "paper", ".2f")] if printed else []),
        Column("f1_text", "F1, %"),
        *([Column("f1_percent", "paper", ".2f")] if printed else []),
        Column("done", "runs"),
    ]
    shown = [_flat(entry) | _texts(entry) for entry in entries]
    return Table(suite.title, columns, shown, _notes(suite, entries))


def _begun(entry: dict[str, Any]) -> bool:
    return any(run["state"] != "not run" for run in entry["runs"])


def full_table(suite: Suite, entries: list[dict[str, Any]]) -> Table:
    """Return the table that programs read: every measure, as fractions in full."""
    entries = [entry for entry in entries if _begun(entry)]
    names = dict.fromkeys(name for entry in entries for name in (*entry["measures"], *entry["paper"]))
    keys = ["row", "data", "model", "done", "params", "macs_torch", "macs_thop"]
    keys += ["paper_params_millions", "paper_flops_thousand_millions"]
    keys += [f"{name}{what}" for name in names for what in ("", "_std", "_paper")]
    keys += ["accuracy_low", "accuracy_high", "n"]
    return Table(suite.title, [Column(key, key) for key in keys], [_flat(entry) for entry in entries])


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    cost, printed = entry["cost"] or {}, entry["paper_cost"] or {}
    accuracy = entry["measures"].get("accuracy", {})
    low, high = accuracy.get("ci95", (None, None))
    done = sum(run["state"] == "done" for run in entry["runs"])
    flat = {key: entry[key] for key in ("row", "title", "data", "model")}
    flat |= {"done": f"{done}/{len(entry['runs'])}", "n": accuracy.get("n")}
    flat |= {key: cost.get(key) for key in ("params", "macs_torch", "macs_thop")}
    flat |= {"paper_params_millions": printed.get("params")}
    flat |= {"paper_flops_thousand_millions": printed.get("flops")}
    flat |= {"accuracy_low": low, "accuracy_high": high}
    for name, measure in entry["measures"].items():
        flat |= {name: measure["mean"], f"{name}_std": measure["std"]}
    return flat | {f"{name}_paper": value for name, value in entry["paper"].items()}


def _texts(entry: dict[str, Any]) -> dict[str, Any]:
    accuracy, paper, cost = entry["measures"].get("accuracy", {}), entry["paper"], entry["cost"]
    low, high = accuracy.get("ci95", (None, None))
    return {
        "millions": cost and cost["params"] / 1e6,
        "macs": cost and cost["macs_torch"] / 1e9,
        "accuracy_text": _percent(accuracy),
        "interval_text": None if low is None else f"{100 * low:.1f}–{100 * high:.1f}",
        "accuracy_percent": 100 * paper["accuracy"] if "accuracy" in paper else None,
        "f1_text": _percent(entry["measures"].get("f1_macro", {})),
        "f1_percent": 100 * paper["f1_macro"] if "f1_macro" in paper else None,
    }


def _percent(measure: dict[str, Any]) -> str | None:
    if measure.get("mean") is None:
        return None
    spread = "" if measure["std"] is None else f" ± {100 * measure['std']:.2f}"
    return f"{100 * measure['mean']:.2f}{spread}"


def _notes(suite: Suite, entries: list[dict[str, Any]]) -> list[str]:
    """Return how the numbers came about, what they mean, and what failed."""
    notes = [line for entry in entries for run in entry["runs"] for line in run.get("notes", ())]
    notes += [INTERVAL, COUNTS] if notes else []
    notes += [SPREAD] if len(suite.seeds) > 1 else []
    notes += [f"Paper: {SOURCE}, by its own split and protocol."] if any(e["paper"] for e in entries) else []
    return list(dict.fromkeys([*notes, *failures(entries)]))


def write(suite: Suite, name: str, runs: Sequence[PlannedRun], out: Path) -> list[dict[str, Any]]:
    """Write results.json, table.md, table.tex and table.csv into ``out``; returns what ``collect`` finds."""
    entries = collect(suite, runs)
    shown = table(suite, entries)
    about = {"suite": name, "title": suite.title, "seeds": suite.seeds, "folds": suite.folds}
    found = {"rows": entries, "failures": failures(entries), "notes": list(shown.notes)}
    write_json(out / "results.json", about | found)
    write_text(out / "table.md", shown.markdown())
    write_text(out / "table.tex", shown.latex())
    write_text(out / "table.csv", full_table(suite, entries).csv())
    return entries


def _options(config: RunConfig) -> dict[str, Any]:
    """Return the options that are not the defaults, without those that tell the runs of a suite apart."""
    own, defaults = {"model", "model_args", "out", "name", "seed", "fold"}, asdict(RunConfig())
    return {k: v for k, v in asdict(config).items() if k not in own and v != defaults[k]}
