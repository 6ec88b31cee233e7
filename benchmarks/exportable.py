"""Which networks export to which formats, and how far the export's logits are from the network's.

OMP_NUM_THREADS=1 python benchmarks/exportable.py --out benchmarks/results/exportable.json

Weights are random, as they decide nothing here; the batch that is compared has another size than the one the
export was made with. A line of the table is written as soon as it is known, and lines that are there are not
measured again.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import timm
import torch

import hemf.models  # noqa: F401  registers the models
from common import described
from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.data.preprocessing import InputSpec
from hemf.exporting import EXPORTERS
from hemf.exporting.network import Exported
from hemf.exporting.registry import Job
from hemf.inference.load import TrainedModel

CLASSES, BATCH = 7, 3
OURS = (
    "hemf_nano",
    "hemf_tiny",
    "hemf_small",
    "hemf_base",
    "uniformer_base",
    "came",
    "conformer_base_patch16",
)
OURS += ("pervit_medium", "biformer_base", "hifuse_tiny", "hifuse_small", "hifuse_base")
THEIRS = ("tf_efficientnet_lite0", "resnet50", "convnext_base", "focalnet_base_srf", "mobilenetv3_large_100")
THEIRS += (
    "densenet121",
    "efficientnet_b0",
    "regnety_016",
    "vit_small_patch16_224",
    "swin_tiny_patch4_window7_224",
)
FORMATS = ("onnx", "openvino", "torch")


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure what the command line asks for and write it."""
    arguments = parse(argv)
    words = ["python", "benchmarks/exportable.py", *(sys.argv[1:] if argv is None else argv)]
    known = json.loads(arguments.out.read_text())["rows"] if arguments.out.exists() else []
    report = {"command": shlex.join(words), **described(), "rows": known}
    done = {(row["model"], row["format"]) for row in known}
    for name in arguments.models:
        for kind in arguments.formats:
            if (name, kind) not in done:
                report["rows"].append(tried(name, kind, arguments.side))
                print(
                    {key: value for key, value in report["rows"][-1].items() if key != "seconds"}, flush=True
                )
                write_json(arguments.out, report)
    return report


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=[*OURS, *THEIRS])
    parser.add_argument("--formats", nargs="+", choices=list(EXPORTERS), default=FORMATS)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args(argv)


@torch.inference_mode()
def tried(name: str, kind: str, side: int) -> dict[str, Any]:
    """Export a network and compare the two; a row of the table."""
    torch.manual_seed(0)
    network, size = timm.create_model(name, num_classes=CLASSES).eval(), (3, side, side)
    job = TrainedModel(
        network, list("abcdefg"), InputSpec(size, 0.9, "center", "bicubic", (0.5,) * 3, (0.5,) * 3), name
    )
    row = {"model": name, "format": kind, "parameters": sum(one.numel() for one in network.parameters())}
    images, started = torch.randn(BATCH, *size), time.process_time()
    exporter = EXPORTERS[kind]
    with tempfile.TemporaryDirectory() as folder:
        try:
            with torch.inference_mode(False):
                exporter.write(
                    Job(Exported(job).eval(), images[:2].clone(), "fp32", name, lambda: []), Path(folder)
                )
            found = exporter.open(Path(folder) / exporter.file, size, CLASSES, False)(images.numpy())
        except HemfError as error:
            return row | {"exports": False, "why": str(error).splitlines()[0]}
    wanted = network(images).numpy()
    found = found[0] if isinstance(found, tuple) else found
    return row | {
        "exports": True,
        "largest_difference": float(abs(found - wanted).max()),
        "largest_logit": float(abs(wanted).max()),
        "seconds": time.process_time() - started,
    }


if __name__ == "__main__":
    main()
