"""How fast a server answers many clients, beside the same model without it, and whether its memory stays.

    python benchmarks/serving.py runs/mine --images DATA --seconds 60 --out serving.json

Clients that wait for each answer before they ask again send images, one a request, to a server in a process
of its own. Before and after it, the same images go through ``Classifier.stream`` in batches of the same size,
which is what ``hemf predict`` does; the server's throughput is given as a share of the mean of both.
"""

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hemf
from common import described
from hemf.core.files import write_json
from hemf.data.image.read import find_images

CLIENTS = 50


def main() -> None:
    """Measure, and write a JSON file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a run, a model folder or an export")
    parser.add_argument("--images", required=True, help="folder with the images that are sent")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--most-images", type=int, default=200)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--out", default="serving.json")
    asked = parser.parse_args()
    files = find_images(asked.images)[: asked.most_images]
    before = bare(asked, files)
    served = load(asked, files)
    after = bare(asked, files)
    mean = statistics.mean([before, after])
    write_json(
        asked.out,
        {
            "what": f"{asked.clients} clients, one image a request, {asked.seconds:g} s",
            "images": {"n": len(files), "bytes_median": statistics.median(f.stat().st_size for f in files)},
            "model": hemf.load(asked.run, device="cpu").trained.name,
            "batch_size": asked.batch_size,
            "precision": asked.precision,
            "server": served,
            "bare_images_per_second": {"before": before, "after": after},
            "throughput_of_bare": served["images_per_second"] / mean,
            **described(),
        },
    )
    print(Path(asked.out).read_text())


def bare(asked: argparse.Namespace, files: list[Path]) -> float:
    """Images a second of the model without a server, reading included, over a quarter of the time."""
    classifier = hemf.load(asked.run, asked.precision, "cpu")
    classifier.predict(files[: asked.batch_size], batch_size=asked.batch_size)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < asked.seconds / 4:
        done += len(classifier.predict(files, batch_size=asked.batch_size))
    return done / (time.perf_counter() - start)


def load(asked: argparse.Namespace, files: list[Path]) -> dict[str, Any]:
    """Run a server under load, and say what its clients saw."""
    options = ["--port", "0", "--device", "cpu", "--precision", asked.precision, "--queue", "1024"]
    command = [
        sys.executable,
        "-m",
        "hemf",
        "serve",
        asked.run,
        *options,
        "--batch-size",
        str(asked.batch_size),
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = urlsplit(server.stdout.readline().rsplit("; ", 1)[1].strip()).netloc
        bodies = [file.read_bytes() for file in files]
        ask(address, bodies, asked.clients, asked.seconds / 6)  # until memory and batches are as they stay
        before = resident(server.pid)
        start = time.perf_counter()
        waits, statuses = ask(address, bodies, asked.clients, asked.seconds)
        seconds = time.perf_counter() - start
        parts = statistics.quantiles(waits, n=100)
        return {
            "images_per_second": len(waits) / seconds,
            "n": len(waits),
            "p50_ms": 1000 * parts[49],
            "p95_ms": 1000 * parts[94],
            "p99_ms": 1000 * parts[98],
            "statuses": {str(one): statuses.count(one) for one in set(statuses)},
            "resident_mib": {"before": before, "after": resident(server.pid)},
        }
    finally:
        server.terminate()
        server.wait()


def ask(address: str, bodies: list[bytes], number: int, seconds: float) -> tuple[list[float], list[int]]:
    """Let clients ask until the time is up; returns the seconds and the status of every answer."""
    waits, statuses, until = [], [], time.perf_counter() + seconds

    def client(first: int) -> None:
        connection = http.client.HTTPConnection(address, timeout=120)
        for i in range(first, 10**9):
            start = time.perf_counter()
            if start > until:
                break
            body = bodies[i % len(bodies)]
            connection.request("POST", "/predict", body, {"Content-Type": "application/octet-stream"})
            answer = connection.getresponse()
            answer.read()
            waits.append(time.perf_counter() - start)
            statuses.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=client, args=(i * 7,)) for i in range(number)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return waits, statuses


def resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
