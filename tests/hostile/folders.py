"""Hostile folders and files of every kind that hemf opens, and the commands that open them."""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from hemf.data.manifest import write_data_set

Job = dict[str, Any]
SECRET = "secret.pth"
BIG = 10**9


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, outside: Path) -> None:
        self.outside = outside

    def __reduce__(self) -> tuple:
        return (os.system, (f"touch {self.outside}/ran",))


class Place:
    """A folder of its own for each hostile input, and one outside that nothing may touch.

    Args:
        home: where to make them.
        run: a sound finished run of ``test_resnet`` on the images of a prepared data set.
        prepared: that data set.
    """

    def __init__(self, home: Path, run: Path, prepared: Path) -> None:
        self.home, self.run, self.prepared = home, run, prepared
        self.outside = home / "outside"
        self.outside.mkdir(parents=True)
        torch.save({"secret": torch.ones(3)}, self.outside / SECRET)
        (self.outside / "notes.txt").write_text("mine")
        (self.outside / "folder").mkdir()
        self.image = self._image(home / "image.png")
        self.count = 0

    @staticmethod
    def _image(path: Path) -> Path:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)).save(path)
        return path

    def new(self, base: Path | None = None) -> Path:
        """A new folder, with a copy of ``base`` in it where there is one."""
        self.count += 1
        folder = self.home / "work" / f"{self.count:03d}" / "given"
        if base is None:
            folder.mkdir(parents=True)
        else:
            shutil.copytree(base, folder, symlinks=True)
        return folder

    def job(self, folder: Path, *arguments: Any) -> Job:
        """A command about a hostile folder, run beside it; it may write there and nowhere else."""
        cwd = folder.parent
        words = [str(word) for word in arguments]
        return {"arguments": words, "cwd": str(cwd), "may_write": [str(cwd)], "outside": str(self.outside)}


def sound_run(home: Path) -> tuple[Path, Path]:
    """A finished run of two epochs and the prepared data set that it was trained on, in a folder."""
    from hemf import evaluate, train
    from hemf.data.dataset import DataSet, Sample

    rng, samples = np.random.default_rng(0), []
    prepared = home / "prepared"
    (prepared / "images").mkdir(parents=True)
    for i in range(24):
        name, label = f"images/{i:02d}.png", "abc"[i % 3]
        pixels = rng.integers(0, 60, (36, 36, 3)) + 60 * (i % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(prepared / name)
        samples.append(Sample(name, label, f"p{i}", ("train", "val", "test", "train")[i // 3 % 4]))
    write_data_set(DataSet("sound", list("abc"), samples, prepared, {}), prepared)
    options = {"model": "test_resnet", "image_size": 32, "batch_size": 8, "epochs": 2, "workers": 0}
    run = train(str(prepared), **options, precision="fp32", out=str(home / "runs"), name="sound")
    evaluate(str(run.path), workers=0, resamples=0)
    return run.path, prepared


def change_json(path: Path, change: dict[str, Any]) -> None:
    """Set entries of a JSON file, whose names may be ``a.b``; a value that is None is removed."""
    found = json.loads(path.read_text())
    for name, value in change.items():
        *parents, last = name.split(".")
        inner = found
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    path.write_text(json.dumps(found))


def change_yaml(path: Path, change: dict[str, Any]) -> None:
    """Set entries of a YAML file."""
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))


def model_changes(outside: Path) -> dict[str, dict[str, Any]]:
    """What a stranger may write into a model's ``config.json``."""
    url = {"pretrained_cfg.url": f"file://{outside / SECRET}", "pretrained_cfg.file": str(outside / SECRET)}
    hub = {"pretrained_cfg.hf_hub_id": "stranger/model", "pretrained_cfg.source": "hf-hub"}
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    args = {
        "pretrained": {"pretrained": True, "cache_dir": str(outside / "cache")},
        "cache-dir": {"cache_dir": str(outside / "cache")},
        "checkpoint": {"checkpoint_path": str(outside / SECRET)},
        "overlay": {"pretrained": True, "pretrained_cfg_overlay": {"file": str(outside / SECRET)}},
        "cfg": {"pretrained": True, "pretrained_cfg": {"file": str(outside / SECRET)}},
        "twice": {"model_name": "resnet50"},
        "classes": {"num_classes": 10**7},
        "pruned": {"pruned": True},
        "device": {"device": "cuda"},
        "dtype": {"dtype": "float64"},
        "scriptable": {"scriptable": True},
        "features": {"features_only": True},
        "unknown": {"no_such_argument": 1},
        "layers": {"layers": [BIG] * 4},
        "many-layers": {"layers": [60_000] * 4},
        "channels": {"channels": [BIG] * 4},
        "wide": {"channels": [60_000] * 4},
        "nan": {"drop_rate": float("nan")},
        "path": {"act_layer": str(outside / SECRET)},
        "long": {"layers": [1] * 10_000},
        "deep": {"layers": deep},
        "words": "layers",
    }
    return {
        **{f"args-{name}": {"model_args": value} | url | hub for name, value in args.items()},
        "url": url,
        "hub": hub,
        "architecture-hub": {"architecture": "hf-hub:stranger/model"},
        "architecture-folder": {"architecture": f"local-dir:{outside}"},
        "architecture-number": {"architecture": 7},
        "architecture-huge": {"architecture": "eva_giant_patch14_560"},
        "classes-many": {"num_classes": 10**12},
        "classes-none": {"num_classes": 0},
        "classes-true": {"num_classes": True},
        "names-numbers": {"label_names": [1, 2, 3]},
        "names-text": {"label_names": "abc"},
        "names-none": {"label_names": None},
        "size-huge": {"pretrained_cfg.input_size": [3, 10**6, 10**6]},
        "size-text": {"pretrained_cfg.input_size": "3 32 32"},
        "size-channels": {"pretrained_cfg.input_size": [7, 32, 32]},
        "crop-tiny": {"pretrained_cfg.crop_pct": 1e-9},
        "crop-text": {"pretrained_cfg.crop_pct": "all"},
        "mode": {"pretrained_cfg.crop_mode": "../x"},
        "interpolation": {"pretrained_cfg.interpolation": ["bilinear"]},
        "mean": {"pretrained_cfg.mean": [float("inf")] * 3},
        "std": {"pretrained_cfg.std": [0, 0, 0]},
        "cfg-list": {"pretrained_cfg": []},
        "own-list": {"hemf": []},
        "window": {"hemf.window": "../x"},
        "calibration": {"hemf.calibration": {"temperature": "hot"}},
        "temperature": {"hemf.calibration.temperature": 1e-300},
        "points": {"hemf.calibration.operating_points": [[]]},
    }


def models(place: Place) -> Iterator[tuple[str, Job]]:
    """Hostile model folders: predicted with, explained, counted, begun from and learnt from."""
    few = ["--recipe", "paper", "--data", place.prepared, "--model", "test_resnet", "--image-size", 32]
    few += ["--epochs", 1, "--batch-size", 8, "--workers", 0, "--name", "one", "--out"]

    def jobs(name: str, folder: Path) -> Iterator[tuple[str, Job]]:
        yield f"model {name}", place.job(folder, "predict", folder, place.image, "--workers", 0)
        out = folder.parent / "maps"
        yield f"model {name}, explained", place.job(folder, "explain", folder, place.image, "--out", out)
        there = f"local-dir:{folder}"
        yield f"model {name}, counted", place.job(folder, "profile", there, "--image-size", 32)
        for option, source in (("--init", folder), ("--teacher", folder), ("--model", there)):
            runs = folder.parent / f"runs{option}"
            yield f"model {name}, {option}", place.job(folder, "train", *few, runs, option, source)

    for name, change in model_changes(place.outside).items():
        folder = place.new(place.run / "model")
        change_json(folder / "config.json", change)
        yield from jobs(name, folder)
    for name, spoil in _spoilt_models(place).items():
        folder = place.new(place.run / "model")
        spoil(folder)
        yield from jobs(name, folder)


def _spoilt_models(place: Place) -> dict[str, Callable[[Path], Any]]:
    def replaced(name: str, make: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def spoil(folder: Path) -> None:
            (folder / name).unlink()
            make(folder / name)

        return spoil

    weights, config = "model.safetensors", "config.json"
    secret = place.outside / SECRET
    return {
        "weights a link": replaced(weights, lambda path: path.symlink_to(secret)),
        "weights a pipe": replaced(weights, os.mkfifo),
        "weights a pickle": replaced(
            weights, lambda path: path.write_bytes(pickle.dumps(Bomb(place.outside)))
        ),
        "weights a huge header": replaced(
            weights, lambda path: path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
        ),
        "weights that claim more": replaced(weights, lambda path: path.write_bytes(_safetensors([2**40]))),
        "weights of a million dimensions": replaced(
            weights, lambda path: path.write_bytes(_safetensors([1] * 10**6))
        ),
        "weights cut short": lambda folder: os.truncate(folder / weights, 1000),
        "configuration a link": replaced(config, lambda path: path.symlink_to(place.outside / "notes.txt")),
        "configuration a pipe": replaced(config, os.mkfifo),
        "configuration a device": replaced(config, lambda path: path.symlink_to("/dev/zero")),
        "configuration deep": replaced(config, lambda path: path.write_text("[" * 10**6)),
        "configuration binary": replaced(config, lambda path: path.write_bytes(bytes(range(256)) * 9)),
        "configuration of a huge number": replaced(
            config, lambda path: path.write_text('{"num_classes": ' + "9" * 10**5 + "}")
        ),
        "another link": lambda folder: (folder / "notes").symlink_to(place.outside),
    }


def _safetensors(shape: list[int]) -> bytes:
    header = json.dumps({"fc.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 4


def run_changes(outside: Path) -> dict[str, dict[str, Any]]:
    """What a stranger may write into a run's ``config.yaml``."""
    return {
        "pretrained": {"pretrained": True},
        "args": {"model_args": {"pretrained_cfg_overlay": {"file": str(outside / SECRET)}}},
        "args-cache": {"model_args": {"pretrained": True, "cache_dir": str(outside / "cache")}},
        "args-checkpoint": {"model_args": {"checkpoint_path": str(outside / SECRET)}},
        "args-channels": {"model_args": {"channels": [BIG] * 4}},
        "args-wide": {"model_args": {"channels": [60_000] * 4}},
        "hub": {"model": "hf-hub:stranger/model"},
        "folder": {"model": f"local-dir:{outside}"},
        "number": {"model": 7},
        "compile": {"compile": True},
        "cache": {"cache": True, "cache_dir": str(outside / "cache")},
        "cache-data": {"cache": True, "data": str(outside)},
        "out": {"out": str(outside), "name": "../outside/x"},
        "data": {"data": str(outside)},
        "size": {"image_size": 10**6},
        "batch": {"batch_size": 10**12},
        "workers": {"workers": 10**6},
        "strategy": {"strategy": "deepspeed"},
        "accelerator": {"accelerator": "../x"},
        "devices": {"devices": 10**6},
        "optimizer": {"optimizer": "__import__"},
        "loss": {"loss": "os.system"},
        "unknown": {"no_such_option": 1},
    }


def runs(place: Place) -> Iterator[tuple[str, Job]]:
    """Hostile run folders, taken up by ``train --resume`` and measured by three verbs."""

    def jobs(name: str, folder: Path) -> Iterator[tuple[str, Job]]:
        more = ["--epochs", 3, "--workers", 0]
        yield f"run {name}, resumed", place.job(folder, "train", "--resume", folder, *more)
        few = ["--workers", 0, "--resamples", 0]
        yield f"run {name}, evaluated", place.job(folder, "evaluate", folder, *few)
        yield f"run {name}, calibrated", place.job(folder, "calibrate", folder, "--workers", 0)
        few = ["--limit", 2, "--perturb", 1]
        yield f"run {name}, localised", place.job(folder, "localise", folder, *few)

    for name, change in run_changes(place.outside).items():
        folder = place.new(place.run)
        change_yaml(folder / "config.yaml", change)
        yield from jobs(name, folder)
        fresh = place.new(folder)
        shutil.rmtree(fresh / "checkpoints")
        yield f"run {name}, begun", place.job(fresh, "train", "--resume", fresh, "--workers", 0)
    for name, spoil in _spoilt_runs(place).items():
        folder = place.new(place.run)
        spoil(folder)
        yield from jobs(name, folder)


def _spoilt_runs(place: Place) -> dict[str, Callable[[Path], Any]]:
    def linked(name: str, target: Path) -> Callable[[Path], Any]:
        def spoil(folder: Path) -> None:
            there = folder / name
            if there.is_dir():
                shutil.rmtree(there)
            elif there.exists():
                there.unlink()
            there.parent.mkdir(parents=True, exist_ok=True)
            there.symlink_to(target)

        return spoil

    def written(name: str, content: str | bytes) -> Callable[[Path], Any]:
        def spoil(folder: Path) -> None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

        return spoil

    def saved(change: Callable[[dict], Any]) -> Callable[[Path], Any]:
        def spoil(folder: Path) -> None:
            file = folder / "checkpoints" / "last.ckpt"
            state = torch.load(file, weights_only=True)
            torch.save(change(state), file)

        return spoil

    folder, notes = place.outside / "folder", place.outside / "notes.txt"
    aliases = "a: &a [1]\n" + "\n".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(9)
    )
    python = f"lr: !!python/object/apply:os.system ['touch {place.outside}/ran']\n"
    pickled = io.BytesIO()
    torch.save({"state_dict": Bomb(place.outside)}, pickled)
    manifest = "path,label,group,split,fold\n"
    return {
        **{
            f"with {name} a link": linked(name, folder)
            for name in ("evaluation", "checkpoints", "tensorboard", "model")
        },
        "with evaluation/test a link": linked("evaluation/test", folder),
        **{
            f"with {name} a link": linked(name, notes)
            for name in ("config.yaml", "manifest.csv", "dataset.json", "environment.json", "metrics.csv")
        },
        "with a link in a circle": lambda run: (run / "circle").symlink_to(run / "circle"),
        "of aliases": written("config.yaml", aliases),
        "of Python objects": written("config.yaml", python),
        "without options": written("config.yaml", "- 1\n"),
        "of numbers as options": written("config.yaml", "1: 2\n"),
        "of binary options": written("config.yaml", bytes(range(256))),
        "without precision": written("environment.json", "{}"),
        "of another precision": written("environment.json", '{"precision": "../x", "resumed": 7}'),
        "with a pickle": written("checkpoints/last.ckpt", pickled.getvalue()),
        "with a cut checkpoint": lambda run: os.truncate(run / "checkpoints" / "last.ckpt", 5000),
        "with an empty checkpoint": saved(lambda state: {}),
        "with a list as checkpoint": saved(lambda state: [1]),
        "with a checkpoint without hemf": saved(lambda state: state | {"hemf": {}}),
        "with a checkpoint of text": saved(lambda state: state | {"hemf": "x"}),
        "with a checkpoint without loops": saved(
            lambda state: {k: v for k, v in state.items() if k != "loops"}
        ),
        "with a checkpoint without optimizer": saved(lambda state: state | {"optimizer_states": []}),
        "with a checkpoint of other weights": saved(
            lambda state: state | {"state_dict": {"x": torch.ones(2)}}
        ),
        "with a checkpoint of other callbacks": saved(lambda state: state | {"callbacks": {"x": 1}}),
        "with no images": written("manifest.csv", manifest),
        "with images outside": written(
            "manifest.csv", manifest + "../../outside/notes.txt,a,,train,\nx.png,b,,val,\n"
        ),
        "with an open quote": written("manifest.csv", manifest + '"x.png,a,,train,\n'),
        "with data that are a list": written("dataset.json", "[]"),
        "with data of odd types": written("dataset.json", '{"classes": "ab", "root": 7, "name": []}'),
        "with a name that leads out": lambda run: change_json(
            run / "dataset.json", {"name": "../../outside/x"}
        ),
    }


def pretrainings(place: Place) -> Iterator[tuple[str, Job]]:
    """Hostile pretrainings, taken up and given to ``train --init``; runs with hostile lists of ancestors."""
    sound = sound_pretraining(place)
    changes = {
        name: change
        for name, change in run_changes(place.outside).items()
        if name in ("pretrained", "args", "hub", "compile", "cache", "out")
    }
    odd = {"method": "__import__"}, {"method": 7}, {"use": ["all"]}, {"teacher": "hf-hub:stranger/model"}
    for name, change in {**changes, **{str(one): one for one in odd}}.items():
        folder = place.new(sound)
        change_yaml(folder / "config.yaml", change)
        more = ["--epochs", 3, "--workers", 0]
        yield f"pretraining {name}, resumed", place.job(folder, "pretrain", "--resume", folder, *more)
    few = ["--recipe", "paper", "--image-size", 32, "--epochs", 1, "--batch-size", 8, "--workers", 0]
    for name, spoil in _spoilt_ancestors(place).items():
        folder = place.new(sound)
        spoil(folder)
        begun = [*few, "--data", place.prepared, "--init", folder, "--out", folder.parent / "runs"]
        yield f"pretraining {name}, begun with", place.job(folder, "train", *begun)
        run = place.new(place.run)
        spoil(run)
        yield f"run {name}, evaluated", place.job(run, "evaluate", run, "--workers", 0, "--resamples", 0)


def sound_pretraining(place: Place) -> Path:
    """A finished pretraining of one epoch on the images of the prepared data set."""
    from hemf import pretrain

    options = {"model": "test_resnet", "image_size": 32, "batch_size": 8, "epochs": 1, "workers": 0}
    out = {"out": str(place.home / "pretrainings"), "name": "sound", "precision": "fp32"}
    return pretrain(str(place.prepared), method="vicreg", **options, **out).path


def _spoilt_ancestors(place: Place) -> dict[str, Callable[[Path], Any]]:
    def listed(rows: Any, **files: str) -> Callable[[Path], Any]:
        def spoil(folder: Path) -> None:
            home = folder / "learnt_from"
            home.mkdir(exist_ok=True)
            (home / "learnt_from.json").write_text(json.dumps({"learnt_from": rows}))
            if files:
                shutil.copytree(place.prepared, home / "0", ignore=shutil.ignore_patterns("images"))
            for name, content in files.items():
                (home / "0" / name.replace("_", ".")).write_text(content)

        return spoil

    def linked(folder: Path) -> None:
        listed([one])(folder)
        (folder / "learnt_from" / "0").symlink_to(place.outside)

    one = {"how": "teacher", "source": "../../outside/x"}
    fingerprints = "path,bytes,sha256,picture\n"
    return {
        "with an ancestor of odd types": listed([{"how": 1, "source": []}]),
        "with too many ancestors": listed([one] * 1000),
        "with an ancestor elsewhere": linked,
        "with an ancestor of no images": listed([one], manifest_csv="path,label,group,split,fold\n"),
        "with an ancestor's images outside": listed(
            [one], dataset_json=json.dumps({"classes": ["a"], "root": str(place.outside)})
        ),
        "with an ancestor of odd fingerprints": listed([one], fingerprints_csv=f"{fingerprints}a,b,c,d\n"),
        "with an ancestor that is an escape": listed([{"how": "\x1b[2J", "source": "\x1b]0;x\x07"}]),
    }


def recipes(place: Place) -> Iterator[tuple[str, Job]]:
    """Hostile recipes and option files, given to ``train``, and suites, given to ``bench``."""
    few = ["--epochs", 1, "--image-size", 32, "--workers", 0]
    changes = run_changes(place.outside)
    for name, change in changes.items():
        folder = place.new()
        (folder / "recipe.yaml").write_text(yaml.safe_dump({"model": "test_resnet", "epochs": 1} | change))
        data = [] if "data" in change else ["--data", place.prepared]
        for flag in ("--recipe", "--config"):
            paper = [] if flag == "--recipe" else ["--recipe", "paper"]
            words = (flag, folder / "recipe.yaml", *paper, *data, *few, "--batch-size", 8)
            job = place.job(folder, "train", *words)
            yield f"{flag} {name}", job
        (folder / "suite.yaml").write_text(yaml.safe_dump(_suite(place, change)))
        yield f"suite {name}", place.job(folder, "bench", folder / "suite.yaml")
    folder = place.new()
    (folder / "deep.yaml").write_text("[" * 10**5)
    for verb in (["train", "--recipe"], ["bench"]):
        yield f"{verb[0]} with a deep file", place.job(folder, *verb, folder / "deep.yaml")
    suite = {
        "title": "x",
        "data": {"../../outside/x": {"demo": {"lesions": BIG}}},
        "rows": [{"model": "test_resnet"}],
    }
    (folder / "names.yaml").write_text(yaml.safe_dump(suite))
    yield "suite of odd names", place.job(folder, "bench", folder / "names.yaml")
    suite["data"] = {"x": {"demo": {"lesions": BIG}}}
    (folder / "demo.yaml").write_text(yaml.safe_dump(suite))
    yield "suite of a huge demo", place.job(folder, "bench", folder / "demo.yaml")


def _suite(place: Place, change: dict[str, Any]) -> dict[str, Any]:
    row = {
        "model": change.get("model", "test_resnet"),
        "model_args": change.get("model_args", {}),
        "name": "row",
    }
    options = {key: value for key, value in change.items() if key not in ("model", "model_args")}
    return {
        "title": "hostile",
        "data": {"mine": {"path": str(place.prepared), "prepare": f"touch {place.outside}/ran"}},
        "rows": [row],
        "options": {"epochs": 1, "image_size": 32, "workers": 0, "batch_size": 8} | options,
    }


def data_sets(place: Place) -> Iterator[tuple[str, Job]]:
    """Hostile data sets and archives."""
    few = ["--model", "test_resnet", "--epochs", 1, "--image-size", 32, "--workers", 0, "--batch-size", 8]
    few += ["--recipe", "paper"]
    for name in ("cache", "audit", "contact-sheet.png"):
        folder = place.new(place.prepared)
        (folder / name).symlink_to(place.outside / ("notes.txt" if "." in name else "folder"))
        yield (
            f"data with {name} a link, trained on",
            place.job(folder, "train", "--data", folder, *few, "--cache"),
        )
        yield f"data with {name} a link, audited", place.job(folder, "data", "audit", folder, "--workers", 0)
        yield f"data with {name} a link, shown", place.job(folder, "data", "info", folder)
    folder = place.new(place.prepared)
    first = next(folder.rglob("*.png"))
    first.unlink()
    os.mkfifo(first)
    yield "data with a pipe, shown", place.job(folder, "data", "info", folder)
    yield "data with a pipe, predicted", place.job(folder, "predict", place.run, folder, "--workers", 0)
    for name, members in {
        "above": {"../../outside/x.jpg": b"x"},
        "absolute": {str(place.outside / "x.jpg"): b"x"},
        "huge": {"kvasir-dataset/a/x.jpg": b"\0" * (1 << 28)},
    }.items():
        folder = place.new()
        with zipfile.ZipFile(folder / "kvasir-dataset.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        root = folder / "kvasir-dataset.zip"
        yield f"archive {name}", place.job(folder, "data", "prepare", "kvasir", "--root", root)
