"""The runs of a suite, each with its options, its images and its folder."""

from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hemf.bench.suite import FIXED, Row, Source, Suite
from hemf.config.options import HardwareOptions
from hemf.config.run_config import RunConfig
from hemf.config.spelling import flag, shown
from hemf.core.errors import HemfError

NOT_COMPARED = {"data", "out", "name", *HardwareOptions.__dataclass_fields__} - {"precision"}


@dataclass(frozen=True)
class PlannedRun:
    """One run of a suite's matrix.

    Args:
        row: what is trained.
        data: the suite's name of the data set.
        images: hash of the data set with its split resolved.
        config: the run's options; they hold its seed, its fold and its folder.
    """

    row: Row
    data: str
    images: str
    config: RunConfig

    @property
    def path(self) -> Path:
        """The run's folder."""
        return Path(self.config.out) / str(self.config.name)

    @property
    def failure(self) -> Path:
        """Where a failure is recorded: beside the run's folder, which may not exist."""
        return self.path.with_name(f"{self.path.name}.failed.json")

    @property
    def metrics(self) -> Path:
        """What the evaluation writes last; the run is done where it is."""
        return self.path / "evaluation" / "test" / "metrics.json"

    @property
    def done(self) -> bool:
        """Whether the run is trained and evaluated."""
        return self.metrics.is_file()

    def __str__(self) -> str:
        fold = "" if self.config.fold is None else f", fold {self.config.fold}"
        return f"{self.row.name} on {self.data}{fold}, seed {self.config.seed}"


def plan(suite: Suite, out: Path, root: Path, options: dict[str, Any]) -> list[PlannedRun]:
    """Return all runs of a suite: rows by data by seeds by folds, in this order of change.

    Args:
        suite: the matrix.
        out: the suite's folder; a run's is ``out/runs/DATA/ROW/seedS`` or ``seedS-foldF``.
        root: folder of the prepared data sets.
        options: options of every run, over those of the suite; ``data`` is the place of its data set.

    Raises:
        HemfError: an option is bad or not the caller's to set, data are missing, or a run that is there was
            made with other options or on other images.
    """
    for name in options:
        if name in FIXED:
            raise HemfError(f"a suite takes no --{name}; {FIXED[name]}")
    place = options.get("data")
    if place is not None and len(suite.data) > 1:
        raise HemfError(f"--data stands for one data set, not for {', '.join(suite.data)}; give --root")
    runs = []
    for name, source in suite.data.items():
        path = Path(place) if place is not None else find_data(name, source, root, out)
        hashes = _hashes(suite, path)
        for row in suite.rows:
            for seed, (fold, images) in product(suite.seeds, hashes.items()):
                run = f"seed{seed}" if fold is None else f"seed{seed}-fold{fold}"
                where = {"data": str(path), "out": str(out / "runs" / name / row.name), "name": run}
                config = suite.config(row, **options | where, seed=seed, fold=fold)
                runs.append(PlannedRun(row, name, images, config))
    for run in runs:
        check_same(run)
    return runs


def find_data(name: str, source: Source, root: Path, out: Path) -> Path:
    """Return where a suite's data set lies; one that hemf draws itself is under ``out``.

    Raises:
        HemfError: it is not there.
    """
    if source.demo is not None:
        drawn = out / "data" / name
        return drawn if drawn.exists() else _draw(drawn, source.demo)
    place = Path(source.path) if source.path else root / name
    if not place.exists():
        how = f"prepare it with: {source.prepare}" if source.prepare else "prepare it"
        raise HemfError(f"no data set {name} at {place}; give its place with --data or --root, or {how}")
    return place


def _draw(target: Path, arguments: dict[str, int]) -> Path:
    """Draw the demo's lesions."""
    from hemf.data.demo.make import demo

    try:
        demo(str(target), **arguments)
    except TypeError as error:
        raise HemfError(f"hemf data demo does not take {arguments}; give lesions, size and seed") from error
    return target


def _hashes(suite: Suite, path: Path) -> dict[int | None, str]:
    """Hash of the images and their split, by fold; None for data without folds."""
    from hemf.data.load import load_data

    data = load_data(path)
    if data.folds and suite.folds is None and not any(s.split for s in data.samples):
        folds = ",".join(map(str, data.folds))
        raise HemfError(f"{data.name} is prepared in folds; give --folds {folds}, or folds in the suite")
    return {fold: (data if fold is None else data.for_fold(fold)).hash for fold in suite.folds or [None]}


def check_same(run: PlannedRun) -> None:
    """Check that a run which is there was made by this protocol, on these images.

    Raises:
        HemfError: it was not.
    """

    from hemf.data.manifest import read_data_set

    if not (run.path / "config.yaml").is_file():
        return
    there, asked = asdict(RunConfig.load(run.path / "config.yaml")), asdict(run.config)
    mend = "give another --out, or remove that run"
    for name, value in asked.items():
        if name not in NOT_COMPARED and there[name] != value:
            raise HemfError(
                f"{run.path} was made with {flag(name)} {shown(there[name])}, not {shown(value)}; {mend}"
            )
    if read_data_set(run.path).hash != run.images:
        raise HemfError(
            f"{run.path} was made on other images or another split than {run.config.data}; {mend}"
        )
