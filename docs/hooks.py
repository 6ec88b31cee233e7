"""Pages made from the code and from committed results when the documentation is built.

The commands and the recipes come from the code; a page a model joins what the paper prints, what we measured
(``benchmarks/results/profile.json``, from ``hemf profile``) and the class's own docstring; the tables on
performance come from what the commands in ``benchmarks`` wrote.
"""

import inspect
import json
from pathlib import Path

import timm
from mkdocs.structure.files import File, Files

import hemf.models  # noqa: F401  registers the models
from hemf.bench.published import CORRECTED, DATA, MODELS, PRINTED_NAMES, SOURCE, TABLE_6, published_scores
from hemf.cli.app import VERBS, build_parser
from hemf.config.run_config import RECIPES
from hemf.models.convert import convertible_models
from hemf.report.html import definitions

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def on_files(files: Files, config) -> Files:
    """Add the generated pages to the documentation."""
    pages = {
        "reference/commands.md": commands(),
        "reference/recipes.md": recipes(),
        "reference/measures.md": measures(),
    }
    pages |= {f"reference/models/{name}.md": model_page(name) for name in MODELS}
    pages["reference/models/index.md"] = models_index()
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def measures() -> str:
    """What the words of a report mean, as the page carries them."""
    lines = [f"**{term}**\n:   {words}\n" for term, words in sorted(definitions().items())]
    return "\n".join(
        [
            "# Measures",
            "",
            "What the words of hemf's reports mean; each page carries those it uses.",
            "",
            *lines,
        ]
    )


def on_page_markdown(markdown: str, page, **_) -> str:
    """Put the tables of measured results where the page on performance asks for them."""
    if page.file.src_uri != "performance/index.md":
        return markdown
    tables = {"model-speed": speed_table, "activations": activations_table}
    for name, table in tables.items():
        markdown = markdown.replace(f"<!-- {name} -->", table())
    return markdown


def speed_table() -> str:
    """Ratios to convnext_base: the authors' code, ours before and now, the target, the limit."""
    before, amx, compiled = (_result(f"model-speed-{name}.json") for name in ("before", "amx", "compiled"))
    measured = [_result(name) for name in ("model-speed.json", "model-speed-96.json", "model-speed-384.json")]
    rows = [
        "| model | pixels | | authors' code | ours before | ours now | fused | compiled | target | limit |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for now in measured:
        rows += [_speed_row(row, now, before, compiled) for row in now["rows"] if _has_a_row(row)]
    two = _result("model-speed-2-threads.json")
    rows += ["", *map(_measured_on, measured)]
    rows += [
        "",
        f"With two threads, by the clock on the wall, `hemf_base` at 224 pixels stands at {_settings(two)}.",
    ]
    rows += [
        "",
        f"Ours before is commit `{before['commit']}` on the same machine. On an Intel processor with AMX, which multiplies bf16 "
        "matrices many times faster, that commit stood at "
        + _settings(amx)
        + "; the kernels have not been measured there.",
    ]
    return "\n".join(rows)


def _settings(report: dict) -> str:
    """The ratio of hemf_base in each setting, in words."""
    key = {"model": "hemf_base", "form": "eager"}
    ratios = {
        setting: _ratio(report, {**key, "mode": setting[0], "precision": setting[1]}) for setting in TARGETS
    }
    return ", ".join(f"{ratio} ({mode}, {precision})" for (mode, precision), ratio in ratios.items())


def _has_a_row(row: dict) -> bool:
    return row["model"] != "convnext_base" and row["form"] == "eager"


def _measured_on(now: dict) -> str:
    machine, settings = now["machine"], now["settings"]
    return (
        f"{' and '.join(map(str, settings['sides']))} pixels: batch {settings['batch_size']}, "
        f"{settings['threads']} thread(s), time of the {settings['clock']} clock, {settings['rounds']} rounds; "
        f"{machine['cpu']} ({machine.get('kernels', 'no')} kernels), torch {machine['torch']}."
    )


def _speed_row(row: dict, now: dict, before: dict, compiled: dict) -> str:
    key = {name: row[name] for name in ("model", "side", "precision", "mode")}
    setting = (row["mode"], row["precision"])
    ours = row["model"] == "hemf_base" and row["side"] == 224
    cells = [
        AUTHORS.get(setting, "") if ours else "",
        _ratio(before, {**key, "form": "eager"}),
        _ratio(now, {**key, "form": "eager"}),
        _ratio(now, {**key, "form": "fused"}),
        _ratio(compiled, {**key, "form": "compiled"}),
        TARGETS.get(setting, ""),
        1.5 if row["model"] == "hemf_base" else "",
    ]
    return f"| {row['model']} | {row['side']} | {row['mode']}, {row['precision']} | {' | '.join(map(str, cells))} |"


AUTHORS = {
    ("inference", "fp32"): 0.65,
    ("inference", "bf16"): "0.31–0.37",
    ("training", "fp32"): 0.64,
    ("training", "bf16"): 0.68,
}
TARGETS = {
    ("inference", "fp32"): 1.2,
    ("inference", "bf16"): 1.0,
    ("training", "fp32"): 1.1,
    ("training", "bf16"): 1.2,
}


def _ratio(report: dict, wanted: dict) -> str:
    found = [row["ratio"] for row in report["rows"] if wanted.items() <= row.items()]
    return f"{found[0]:.2f}" if found else ""


def _result(name: str) -> dict:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def activations_table() -> str:
    """What a training step keeps."""
    rows = ["| kept for the backward pass (MB an image, 224 pixels) | fp32 | bf16 |", "|---|---:|---:|"]
    kept = {
        (one["model"], one["precision"]): one["megabytes"]
        for one in _result("model-speed.json")["activations"]
    }
    for model in dict.fromkeys(model for model, _ in kept):
        rows.append(f"| {model} | {kept[model, 'fp32']:.0f} | {kept[model, 'bf16']:.0f} |")
    return "\n".join([*rows, "", "The authors' code keeps 484 MB in fp32; the target is 250, the aim 180."])


def commands() -> str:
    """Every verb's help, as the terminal shows it."""
    parts = [
        "# Commands",
        "Made from the code: each verb is one public Python function with the same arguments.",
    ]
    for name, verb in VERBS.items():
        text = build_parser(name).format_help().rstrip()
        parts += [f"## hemf {name}", f"To {verb.summary}.", f"```text\n{text}\n```"]
    return "\n\n".join(parts)


def recipes() -> str:
    """Every recipe of the package, whole."""
    parts = [
        "# Recipes and options",
        "A recipe is a YAML file of the options that `hemf train --help` lists; what it leaves out keeps its default. "
        "Give its name, or the path of your own, as `--recipe`; every option can be overridden by a flag of its name.",
    ]
    for name in RECIPES.names():
        parts += [f"## {name}", f"```yaml\n{RECIPES.path(name).read_text(encoding='utf-8').rstrip()}\n```"]
    return "\n\n".join(parts)


def models_index() -> str:
    """The zoo in one table."""
    rows = "\n".join(
        f"| [`{name}`]({name}.md) | {PRINTED_NAMES[name]} | {_origin(name)} | {_measured(name).get('params', 0) / 1e6:.2f} |"
        for name in MODELS
    )
    return f"""# The zoo

The eleven models of the paper's Table 6, one interface: timm's. `hemf profile` prints their costs, `hemf bench` trains and
compares them.

| model | in the paper | code | parameters, 7 classes (M) |
|---|---|---|---:|
{rows}
"""


def model_page(name: str) -> str:
    """One model: what it is, what the paper reports, what we measured, how to load the authors' weights."""
    return "\n\n".join(
        part
        for part in (
            f"# {name}",
            f"`timm.create_model({name!r})` after `import hemf.models`; *{PRINTED_NAMES[name]}* in the paper's tables; "
            f"code: {_origin(name)}.",
            f"## What the paper reports\n\n{_reported(name)}",
            f"## What we measured\n\n{_costs(name)}",
            f"## The authors' weights\n\n{_weights(name)}",
            _class_reference(name),
        )
        if part
    )


def _origin(name: str) -> str:
    return "timm" if _module(name).startswith("timm.") else "hemf"


def _module(name: str) -> str:
    return timm.model_entrypoint(name).__module__


def _reported(name: str) -> str:
    cost, rows = TABLE_6[name], []
    for data in DATA:
        scores = published_scores(data, name)
        corrected = CORRECTED.get((data, name), {})
        cells = [_printed(m, scores, corrected) for m in ("accuracy", "f1_macro", "mcc", "kappa")]
        rows.append(f"| {data} | {' | '.join(cells)} |")
    return "\n".join(
        [
            f"{cost.params:.2f} M parameters, {cost.flops:.2f} G floating-point operations, and on the paper's splits:",
            "",
            "| data | accuracy | F1 (macro) | MCC | kappa |",
            "|---|---:|---:|---:|---:|",
            *rows,
            "",
            f"Source: {SOURCE}, Tables 6 to 9. Its ISIC 2018 split shows a third of the test lesions in training too: "
            "see [Splits that do not leak](../../explanation/splits.md).",
        ]
    )


def _printed(measure: str, scores: dict, corrected: dict) -> str:
    """What the paper prints, after what its authors' own results give where that differs."""
    if measure not in scores:
        return "–"
    printed = f"{scores[measure]:.4f}"
    return f"{corrected[measure]:.4f} (printed: {printed})" if measure in corrected else printed


def _measured(name: str) -> dict:
    report = json.loads((RESULTS / "profile.json").read_text(encoding="utf-8"))
    return next(one for one in report["models"] if one["model"] == name and one["variant"] is None)


def _costs(name: str) -> str:
    one = _measured(name)
    step = one["training_steps"][0]
    published = one["published"]
    return f"""At 224 x 224 with 7 classes, by `hemf profile` (`benchmarks/results/profile.json`):

| what | ours | paper | the paper's figure follows |
|---|---:|---:|---|
| parameters (M) | {one["params"] / 1e6:.2f}, of which {one["params_with_grad"] / 1e6:.2f} receive a gradient | {published["params_M"]} | {published["params_follow"]} |
| multiply-adds (G), thop's layer count | {one["multiply_adds_thop"] / 1e9:.2f} | {published["multiply_adds_G"]} | {published["multiply_adds_follow"]} |
| multiply-adds (G), torch's flop counter / 2 | {one["multiply_adds_torch"] / 1e9:.2f} | | |
| kept for the backward pass (MB an image, {step["precision"]}) | {step["saved_bytes"] / step["batch_size"] / 1e6:.0f} | | |"""


def _weights(name: str) -> str:
    if name not in convertible_models():
        return f"`timm.create_model({name!r}, pretrained=True)` where timm has weights; `hemf train --pretrained` starts from them."
    return f"""```console
$ hemf convert CHECKPOINT --model {name} --out models/{name}
$ hemf predict models/{name} IMAGES...
```
Our network reproduces the published code's logits and intermediate maps on given weights to 1e-9 in float64
(`tests/models`); see [Load the authors' checkpoints](../../how-to/convert.md)."""


def _class_reference(name: str) -> str:
    if _origin(name) == "timm":
        return ""
    kind = type(timm.create_model(name, num_classes=2))
    options = "    options:\n      heading_level: 2\n      members: [forward, forward_features, forward_head]"
    return f"::: {inspect.getmodule(kind).__name__}.{kind.__name__}\n{options}"
