"""Kill hemf at random moments, give the same command again, and look whether all ends right.

``python benchmarks/kill.py --kills 200 --out FILE`` (``make kill``) starts train, folds, cache, prepare,
evaluate, predict and bench in turn, each on small images with a small model; a SIGKILL ends the command's
process group at a moment drawn between its start and somewhat after its end; then the same command runs to
its end (of a run whose folder is there already, ``hemf train --resume``). The end is right where the folder
holds the files of a command that nobody killed, no other ones, and, of those files that two such commands
write alike, the same bytes; of checkpoints the weights and the optimiser's state are compared.

The result is JSON and is kept after every kill: the same command line goes on where it was stopped. Processes
are forked from one that has imported torch, so that a kill takes seconds.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils._pytree import tree_leaves

Files = dict[str, str]
TINY = (
    *("--recipe", "paper", "--model", "test_resnet", "--image-size", "32", "--batch-size", "8"),
    *("--precision", "fp32", "--device", "cpu", "--workers", "0"),
)
SUITE = """
title: killed
recipe: paper
seeds: [0]
data: {{colours: {{path: {data}}}}}
options: {{image_size: 32, batch_size: 8, epochs: 1, precision: fp32, workers: 0, device: cpu}}
rows: [{{model: test_resnet}}]
"""
VARIES = ("tensorboard/", ".lock")  # names with times in them, and locks, which go with their process


def train(here: Path, data: Path, *more: str) -> list[str]:
    """A run, or the rest of one."""
    if (here / "run").exists():
        return ["train", "--resume", str(here / "run")]
    return ["train", "--data", str(data), *TINY, "--out", str(here), "--name", "run", *more]


VERBS: dict[str, Callable[[Path, Path], list[str]]] = {
    "train": lambda here, data: train(here, data, "--epochs", "3"),
    "folds": lambda here, data: train(here, data / "train", "--folds", "2", "--epochs", "1"),
    "cache": lambda here, data: train(here, data, "--epochs", "1", "--cache-dir", str(here / "cache")),
    "prepare": lambda here, data: [
        *("data", "prepare", "folder", "--root", str(data / "train"), "--out", str(here / "prepared")),
        *("--split", "stratified", "--resize", "24"),
    ],
    "evaluate": lambda here, data: [
        *("evaluate", str(here / "run"), "--device", "cpu", "--workers", "0", "--resamples", "50"),
    ],
    "predict": lambda here, data: [
        *("predict", str(here / "run"), *map(str, sorted(data.glob("test/*/*.png")))),
        *("--device", "cpu", "--workers", "0", "--out", str(here / "predictions.csv")),
    ],
    "bench": lambda here, data: ["bench", str(data.parent / "suite.yaml"), "--out", str(here / "bench")],
}


def main() -> None:
    """Read the command line, kill, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="+", default=list(VERBS), choices=VERBS)
    parser.add_argument("--out", default="kill.json", help="file of the result, which is taken up again")
    arguments = parser.parse_args()
    result = kill(arguments.kills, arguments.seed, arguments.verbs, Path(arguments.out))
    print(json.dumps({key: value for key, value in result.items() if key != "trials"}, indent=2))
    raise SystemExit(result["wrong"] > 0)


def kill(kills: int, seed: int, verbs: list[str], out: Path) -> dict[str, Any]:
    """The trials in ``out``, and as many more as are lacking to ``kills``."""
    before = json.loads(out.read_text())["trials"] if out.exists() else []
    with tempfile.TemporaryDirectory(prefix="hemf-kill-") as scratch:
        place = Place(Path(scratch))
        trials = before[:kills]
        result = summary(trials)
        while len(trials) < kills:
            number = len(trials)
            trials.append(place.trial(verbs[number % len(verbs)], random.Random(f"{seed} {number}")))
            result = summary(trials)
            partial = out.with_name(f".{out.name}")
            partial.write_text(json.dumps(result, indent=1) + "\n")
            partial.replace(out)
    return result


def summary(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by verb, and the trials."""
    verbs = sorted({trial["verb"] for trial in trials})
    return {
        "kills": len(trials),
        "right": sum(not trial["wrong"] for trial in trials),
        "wrong": sum(bool(trial["wrong"]) for trial in trials),
        "killed_before_the_end": sum(trial["killed"] for trial in trials),
        "by_verb": {verb: _counts([t for t in trials if t["verb"] == verb]) for verb in verbs},
        "trials": trials,
    }


def _counts(trials: list[dict[str, Any]]) -> dict[str, int]:
    killed = sum(trial["killed"] for trial in trials)
    return {"kills": len(trials), "right": sum(not t["wrong"] for t in trials), "before_the_end": killed}


class Place:
    """Images, a trained run, and one folder in which every command works, for paths stand in its results."""

    def __init__(self, scratch: Path) -> None:
        import hemf.commands.bench
        import hemf.commands.evaluate
        import hemf.training.trainer  # noqa: F401  imports once what every command would

        self.data, self.here, self.log = scratch / "images", scratch / "here", scratch / "log"
        self.run = scratch / "trained"
        draw(self.data)
        (scratch / "suite.yaml").write_text(SUITE.format(data=self.data))
        self.wanted: dict[str, tuple[Files, float]] = {}
        self._fresh("train")
        self._again("train")
        shutil.copytree(self.here / "run", self.run)

    def trial(self, verb: str, rng: random.Random) -> dict[str, Any]:
        """Start a command, kill it, give it again, and compare."""
        wanted, seconds = self._undisturbed(verb)
        self._fresh(verb)
        moment = rng.uniform(0, 1.1 * seconds)
        child = self._start(verb)
        time.sleep(moment)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found: dict[str, Any] = {"verb": verb, "seconds": round(moment, 3), "killed": code == -signal.SIGKILL}
        try:
            self._again(verb)
        except RuntimeError as error:
            return found | {"wrong": [str(error)]}
        return found | {"wrong": differences(wanted, contents(self.here))}

    def _undisturbed(self, verb: str) -> tuple[Files, float]:
        """Files of a command that nobody kills, with digests where a second one makes them alike; seconds."""
        if verb not in self.wanted:
            made = []
            for _ in range(2):
                self._fresh(verb)
                began = time.monotonic()
                self._again(verb)
                made.append(contents(self.here))
            seconds = time.monotonic() - began
            alike = {name: digest if made[1].get(name) == digest else "" for name, digest in made[0].items()}
            self.wanted[verb] = (alike, seconds)
        return self.wanted[verb]

    def _fresh(self, verb: str) -> None:
        shutil.rmtree(self.here, ignore_errors=True)
        self.here.mkdir()
        if verb in ("evaluate", "predict"):
            shutil.copytree(self.run, self.here / "run")

    def _start(self, verb: str) -> int:
        """Fork a process, in a group of its own, that gives the command."""
        command = VERBS[verb](self.here, self.data)
        child = os.fork()
        if child:
            with contextlib.suppress(OSError):
                os.setpgid(child, child)
            return child
        code = 1
        try:
            os.setpgid(0, 0)
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            from hemf.cli.app import main

            code = main(command)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _again(self, verb: str) -> None:
        """Give the command and let it end; one that has ended already may say so."""
        code = os.waitstatus_to_exitcode(os.waitpid(self._start(verb), 0)[1])
        said = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        done = verb == "prepare" and "holds a prepared data set" in "".join(said)  # killed after its end
        if code != 0 and not done:
            raise RuntimeError(f"exit code {code}: {' '.join(said)}")


def draw(folder: Path) -> None:
    """Noise with a red, green or blue cast, in train/val/test folders."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 4), ("test", 4)):
        for channel, name in enumerate(("red", "green", "blue")):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 160, (32, 32, 3))
                pixels[..., channel] += 60
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{i:02}.png")


def contents(folder: Path) -> Files:
    """SHA-256 of every file in ``folder``, by its path there, without those whose names vary."""
    names = {path: str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: digest(path) for path, name in names.items() if not any(word in name for word in VARIES)}


def digest(path: Path) -> str:
    """SHA-256 of a file; of a checkpoint that of its weights and the optimiser's state, in any container."""
    hashed = hashlib.sha256()
    if path.suffix != ".ckpt":
        hashed.update(path.read_bytes())
        return hashed.hexdigest()
    checkpoint = torch.load(path, weights_only=True)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "hemf"):
        for leaf in tree_leaves(checkpoint[part]):
            values = leaf.contiguous().numpy().tobytes() if isinstance(leaf, torch.Tensor) else repr(leaf)
            hashed.update(values if isinstance(values, bytes) else values.encode())
    return hashed.hexdigest()


def differences(wanted: Files, found: Files) -> list[str]:
    """What is lacking, over, or of other bytes than it should be; an empty digest stands for any."""
    return [
        *(f"lacking: {name}" for name in wanted if name not in found),
        *(f"left over: {name}" for name in found if name not in wanted),
        *(f"other bytes: {name}" for name, d in wanted.items() if d and name in found and found[name] != d),
    ]


if __name__ == "__main__":
    main()
