"""CPU seconds from process start: the help, one prediction, and the libraries that a prediction needs.

python benchmarks/startup.py --data ../shared/data

Writes benchmarks/results/startup.json. Every command once a round, user and system time of its process (to
wait for other processes does not count), medians of the rounds after one that fills the disk's cache.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import timm

import hemf.models  # noqa: F401  registers the models
from common import DATA, FOLDERS, described
from hemf.config.run_config import RunConfig
from hemf.core.files import write_json
from hemf.data.image.read import find_images
from hemf.data.preprocessing import InputSpec
from hemf.models.hub import save_model


def saved(name: str, folder: Path) -> Path:
    """A model of seven classes with random weights, as a folder."""
    save_model(
        timm.create_model(name, num_classes=7),
        folder,
        architecture=name,
        model_args={},
        classes=list("abcdefg"),
        pretrained_cfg=InputSpec.from_config(RunConfig.of("paper")).to_pretrained_cfg(),
    )
    return folder


def timed(arguments: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of Python with these arguments."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - started


def main() -> None:
    """Read the command line, measure, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with isic2018")
    parser.add_argument("--rounds", type=int, default=5, help="times each is measured")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/startup.json"))
    arguments = parser.parse_args()
    image = find_images(arguments.data / FOLDERS["isic2018"])[0]
    with tempfile.TemporaryDirectory() as scratch:
        model = saved("hemf_tiny", Path(scratch) / "model")
        commands = {
            "hemf --help": ["-m", "hemf", "--help"],
            "hemf predict --help": ["-m", "hemf", "predict", "--help"],
            "import torch": ["-c", "import torch"],
            "import torch, torchvision, timm": ["-c", "import torch, torchvision, timm"],
            "hemf predict MODEL IMAGE": ["-m", "hemf", "predict", str(model), str(image)],
        }
        taken = {name: [] for name in commands}
        for number in range(arguments.rounds + 1):
            for name, command in commands.items():
                found = timed(command)
                if number:
                    taken[name].append(found)
    results = {
        name: {
            "cpu_seconds": statistics.median(cpu for cpu, _ in times),
            "fastest_cpu_seconds": min(cpu for cpu, _ in times),
            "fastest_wall_seconds": min(wall for _, wall in times),
        }
        for name, times in taken.items()
    }
    command = f"python benchmarks/startup.py --rounds {arguments.rounds}"
    write_json(arguments.out, {"command": command, **described(), "model": "hemf_tiny", "commands": results})


if __name__ == "__main__":
    main()
