"""``make fuzz``: a thousand damaged files through hemf's verbs, and a JSON file of what came of it.

Watched as ``watch.py`` does. Exit code 1 where anything went wrong; the faults are printed.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import corpus
import folders
import jobs

KINDS = ("models", "runs", "pretrainings", "recipes", "data_sets")
BATCH = 100
"""Files that are on the disk at once."""


def main() -> int:
    """Run the corpus in batches, so that the disk holds one batch at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="damaged files")
    parser.add_argument("--seed", type=int, default=0, help="of the damages")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fuzz.json"))
    asked = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hemf-fuzz-") as home:
        place = folders.Place(Path(home) / "place", *folders.sound_run(Path(home)))
        result = {"hostile_folders": open_hostile(place)} | run(place, asked.count, asked.seed)
    result |= {"seed": asked.seed, "minutes": (time.monotonic() - start) / 60}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=2) + "\n")
    for name, wrong in result["faults"].items():
        print(f"{name}: {wrong}")
    print(f"{result['files']} damaged files: {len(result['faults'])} faults, all in {asked.out}")
    return 1 if result["faults"] or result["hostile_folders"]["faults"] else 0


def open_hostile(place: folders.Place) -> dict:
    """What came of every hostile folder of ``folders.py``: how many commands, and the faults by name."""
    made = [one for kind in KINDS for one in getattr(folders, kind)(place)]
    found = jobs.run_jobs([job for _, job in made])
    wrong = {name: jobs.faults(job, one) for (name, job), one in zip(made, found, strict=True)}
    shutil.rmtree(place.home / "work")
    return {"commands": len(made), "faults": {name: faults for name, faults in wrong.items() if faults}}


def run(place: folders.Place, number: int, seed: int) -> dict:
    """What came of the corpus: files by kind, exit codes, the worst time and memory, the faults."""
    faults, codes, kinds = {}, Counter(), Counter()
    seconds, memory = 0.0, 0
    made = corpus.corpus(place, number, seed)
    while some := list(islice(made, BATCH)):
        names, todo = zip(*some, strict=True)
        for name, job, found in zip(names, todo, jobs.run_jobs(list(todo)), strict=True):
            kinds[name.partition(" ")[2].partition(":")[0].partition(",")[0]] += 1
            codes[str(found["code"])] += 1
            seconds, memory = max(seconds, found["seconds"]), max(memory, found["bytes"])
            if wrong := jobs.faults(job, found):
                faults[name] = [line[-1500:] for line in wrong]
        shutil.rmtree(place.home / "work")
        print(f"{sum(codes.values())} of {number}: {len(faults)} faults", flush=True)
    return {
        "files": sum(codes.values()),
        "kinds": dict(kinds),
        "exit_codes": dict(codes),
        "longest_seconds": round(seconds, 1),
        "most_MiB_above_the_model": memory >> 20,
        "faults": faults,
    }


if __name__ == "__main__":
    sys.exit(main())
