"""A comparison as two tables: the models, and the tests of each pair."""

from typing import Any

from hemf.core.tables import Column, Table
from hemf.core.text import p_text
from hemf.metrics.wording import cell_text


def tables(report: dict[str, Any]) -> list[Table]:
    """Return the models' measures with their intervals; then every test of every pair.

    Args:
        report: what ``hemf.compare`` gives.
    """
    title = f"{report['data']} {report['split']}, n = {report['n']}"
    names = list(report["models"][0]["metrics"])
    models = [
        {"name": model["name"]} | {name: cell_text(model["metrics"][name]) for name in names}
        for model in report["models"]
    ]
    columns = [Column("name", "model"), *(Column(name, measure_words(name)) for name in names)]
    heads = {
        "first": "first",
        "second": "second",
        "test": "test",
        "difference": "difference [95% interval]",
        "p": "p",
        "p_holm": "p, Holm",
    }
    tests = [row for pair in report["pairs"] for row in _tests(pair)]
    return [
        Table(title, columns, models),
        Table(
            f"Differences on {title}",
            [Column(key, head) for key, head in heads.items()],
            tests,
            report["notes"],
        ),
    ]


def _tests(pair: dict[str, Any]) -> list[dict[str, Any]]:
    mcnemar, delong = pair["mcnemar"], pair["delong"]
    found = [(f"{measure_words(name)}, bootstrap", one) for name, one in pair["bootstrap"].items()]
    right = f"{mcnemar['only_first_right']} : {mcnemar['only_second_right']}"
    found += [(f"accuracy, McNemar ({mcnemar['method']})", mcnemar | {"text": right})]
    found += [("ROC AUC (macro), DeLong", delong["macro"])]
    if len(delong["per_class"]) > 2:
        found += [(f"ROC AUC of {name}, DeLong", one) for name, one in delong["per_class"].items()]
    return [
        {
            "first": pair["first"],
            "second": pair["second"],
            "test": test,
            "difference": one.get("text") or cell_text(one | {"value": one["difference"]}, form="+.3f"),
            "p": p_text(one["p"]),
            "p_holm": p_text(one["p_holm"]),
        }
        for test, one in found
    ]


def measure_words(name: str) -> str:
    """Return what a measure of the whole split is called, by its key in ``metrics.json``."""
    for how in ("macro", "weighted"):
        if name.endswith(f"_{how}"):
            name = f"{name.removesuffix(f'_{how}')} ({how})"
    name = name.replace("roc_auc", "ROC AUC").replace("f1", "F1").replace("mcc", "MCC")
    return name.replace("_", " ")
