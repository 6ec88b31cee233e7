"""COVID-CT as external data for itself: a model made from some of its sources, tried on the others.

python benchmarks/external_covid_ct.py DATA/covid-ct WORK

The release cuts its pictures from four sources: COVID from preprints and from journals, NonCOVID from crawled
pages and from MedPix. Here preprints and crawled pages are one place, journals and MedPix another. They are
two ways of collecting pictures and not two hospitals, and in each place a source gives its class away.

Writes to WORK two CSV files, a prepared data set, a probe of a pretrained network and its evaluations, and to
benchmarks/results/external-covid-ct.json what came out.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import hemf
from common import described
from hemf.commands.data.prepare import prepare
from hemf.core.files import write_json
from hemf.data.dataset import DataSet
from hemf.data.sources import SOURCES

PLACES = {"here": ("preprint", "crawled"), "there": ("journal", "medpix")}
OPTIONS: dict[str, Any] = {"workers": 0, "device": "cpu", "precision": "fp32"}


def write_places(data: DataSet, work: Path) -> dict[str, Path]:
    """Write a CSV of the images of each place, with patients and sources."""
    work.mkdir(parents=True, exist_ok=True)
    files = {}
    for place, sources in PLACES.items():
        files[place] = work / f"covid-ct-{place}.csv"
        rows = [
            (str(data.path(s)), s.label, f"{s.label}-{s.group}", s.metadata["source"])
            for s in data.samples
            if s.metadata["source"] in sources
        ]
        with open(files[place], "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "label", "patient", "source"), *rows])
    return files


def summary(found: Any) -> dict[str, Any]:
    """What is kept of an evaluation."""
    report = found.report
    kept = ("split", "n", "metrics", "per_class", "calibration", "operating_points", "external", "subgroups")
    about = {name: report[name] for name in kept if name in report}
    return about | {"data": report["data"]["name"], "images_trained_on": report["images_trained_on"]}


def main() -> None:
    """Read the command line, train, evaluate at home and abroad, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--init", default="lite0")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/external-covid-ct.json"))
    arguments = parser.parse_args()
    data = SOURCES.find("covid-ct").read(arguments.release)
    files = write_places(data, arguments.work)
    prepared = arguments.work / "prepared"
    prepare("csv", str(files["here"]), str(prepared), val=0.2, test=0.2, overwrite=True)
    run = hemf.train(
        data=str(prepared),
        model=arguments.model,
        init=arguments.init,
        probe=True,
        image_size=224,
        out=str(arguments.work / "runs"),
        name="probe",
        workers=0,
    )
    at_home = hemf.evaluate(str(run.path), by="source", **OPTIONS)
    abroad = hemf.evaluate(str(run.path), data=str(files["there"]), by="source", **OPTIONS)
    results = {"model": arguments.model, "probe": True, "image_size": 224, "places": PLACES}
    write_json(arguments.out, described() | results | {"here": summary(at_home), "there": summary(abroad)})


if __name__ == "__main__":
    main()
