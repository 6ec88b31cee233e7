"""Finds a data set: a prepared one, a CSV file or class folders, with its own split or a new one."""

import os
from dataclasses import replace
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.data import splits
from hemf.data.dataset import DataSet
from hemf.data.manifest import read_data_set
from hemf.data.sources.csv import read_csv
from hemf.data.sources.folder import read_folder

ALL_TEST = "none, all images test"


def load_data(path: str | os.PathLike) -> DataSet:
    """Load a data set from whatever lies at ``path``.

    A prepared data set, or a run folder; a CSV file with columns path and label, and optionally group (or
    patient, or lesion), split and fold; a folder of class folders; or a folder with such folders under train,
    val and test (also training, valid, validation, testing, in any case). Where no split is given it is made
    here as ``hemf data prepare`` would by default: 70 % train, 10 % val, 20 % test, stratified by class, with
    no group on two sides, seed 0. ``info["split"]`` says which.

    Raises:
        HemfError: nothing there, or no data set, a single class, or images are missing.
    """
    data = _read(path, trainable=True)
    return data if any(s.side for s in data.samples) else splits.split_data(data)


def load_test_data(path: str | os.PathLike) -> DataSet:
    """Load a data set to test on, from whatever ``load_data`` takes, without the rules for training.

    A single class is enough, and classes may have no images. Where no split is given all images are for
    testing, which ``info["split"]`` then says.

    Raises:
        HemfError: nothing there, or no data set, or images are missing.
    """
    data = _read(path, trainable=False)
    if any(s.side for s in data.samples):
        return data
    samples = [replace(s, split="test") for s in data.samples]
    return replace(data, samples=samples, info=data.info | {"split": {"method": ALL_TEST}})


def _read(path: str | os.PathLike, trainable: bool) -> DataSet:
    """Return what lies at ``path``, with the split that it came with, if any."""
    if not os.fspath(path):  # which Path would take for the current folder
        raise HemfError("no data: the path is empty; give a data set, or . for the current folder")
    path = Path(path)
    if not path.exists():
        raise HemfError(f"no data at {path}; give a prepared data set, a folder of class folders or a CSV")
    if path.is_dir() and (path / "dataset.json").is_file() and (path / "manifest.csv").is_file():
        data = read_data_set(path, trainable)
    elif path.is_dir() and (path / "manifest.csv").is_file():
        data = read_csv(path / "manifest.csv")
    elif path.is_dir():
        data = read_folder(path, trainable)
    elif path.suffix.lower() in (".csv", ".tsv"):
        data = read_csv(path)
    else:
        raise HemfError(f"{path} is neither a folder nor a CSV file; unpack it, or use hemf data prepare")
    if trainable:
        data.check_trainable()
    data.check(files=True)
    return data
