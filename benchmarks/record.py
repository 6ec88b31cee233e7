"""Write what a run found, with the commands that made it, as one JSON file to commit.

python benchmarks/record.py RUN --out benchmarks/results/NAME.json --commands "hemf data prepare ..." ...
With --found localisation.json it is what hemf localise found, not hemf evaluate.
"""

import argparse
import json
from pathlib import Path

import yaml

from hemf.core.files import write_json
from hemf.runs.folder import fold_paths


def record(run: Path, split: str, commands: list[str], name: str = "metrics.json") -> dict:
    """Commands, data, options, machine and metrics of an evaluated run, or of its measured heat maps."""
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    data = json.loads((run / "dataset.json").read_text(encoding="utf-8"))
    found = json.loads((run / "evaluation" / split / name).read_text(encoding="utf-8"))
    evaluation = name == "metrics.json"
    command = f"hemf evaluate {run} --split {split} --precision {found.get('precision')}"
    if not evaluation:
        command = found["environment"]["command"]
    runs = fold_paths(run) or [run]
    return {
        "commands": [*commands, environment["command"], command],
        "data": {
            key: data[key] for key in ("name", "hash", "counts", "groups", "split", "resize") if key in data
        },
        "options": yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8")),
        "epochs_trained": [_epochs(one) for one in runs],
        "model": [_origin(one) for one in runs],
        "probe": [_probe(one) for one in runs],
        "environment": environment,
        "evaluation" if evaluation else "localisation": found,
    }


def _epochs(run: Path) -> int:
    """Rows of ``metrics.csv``; a linear probe has none."""
    if not (run / "metrics.csv").exists():
        return 0
    with open(run / "metrics.csv", encoding="utf-8") as table:
        return len(table.readlines()) - 1


def _probe(run: Path) -> dict | None:
    file = run / "probe.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _origin(run: Path) -> dict:
    return json.loads((run / "model" / "config.json").read_text(encoding="utf-8")).get("hemf", {})


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a run that hemf evaluate has measured")
    parser.add_argument("--split", default="test", help="split that was measured")
    parser.add_argument("--commands", nargs="*", default=[], help="commands that prepared the data")
    parser.add_argument("--found", default="metrics.json", help="its file in evaluation/SPLIT")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    found = record(arguments.run, arguments.split, arguments.commands, arguments.found)
    write_json(arguments.out, found)


if __name__ == "__main__":
    main()
