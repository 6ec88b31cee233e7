"""What ``hemf data audit`` finds of planted copies.

python benchmarks/audit_recall.py DATA --out benchmarks/results/NAME.json [--images 300]

A changed copy of each chosen image is sought among all of them by the audit's own search. Found means that
the copy is paired with its original; pairs of images of different groups are counted too.
"""

import argparse
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from hemf.auditing import candidates, similarity
from hemf.auditing.duplicates import find_pairs
from hemf.auditing.scan import Workers, look_at
from hemf.core.files import write_json
from hemf.data.dataset import Sample
from hemf.data.image.read import read_image
from hemf.data.load import load_data

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def compressed(quality: int) -> Change:
    """As JPEG of a quality, and back."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        content = io.BytesIO()
        image.save(content, "JPEG", quality=quality)
        return Image.open(content).convert("RGB")

    return change


def cropped(share: float, anywhere: bool) -> Change:
    """What is left when ``share`` of each side is cut off, around the middle or at random."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        left, top = rng.random(2) if anywhere else (0.5, 0.5)
        width, height = ((1 - share) * side for side in image.size)
        x, y = left * (image.width - width), top * (image.height - height)
        return image.crop((round(x), round(y), round(x + width), round(y + height)))

    return change


def written_on(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A line of white text in the upper left corner."""
    image = image.copy()
    font = ImageFont.load_default(size=max(10, image.height // 12))
    ImageDraw.Draw(image).text((4, 4), "PATIENT 0815 L", fill="white", font=font)
    return image


def written_across(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A line of yellow text at any height."""
    image = image.copy()
    font = ImageFont.load_default(size=max(10, image.height // 10))
    y = rng.integers(0, max(1, image.height - image.height // 8))
    ImageDraw.Draw(image).text((image.width // 6, int(y)), "2026-12-01 R", fill="yellow", font=font)
    return image


def ruled(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A white ruler with black marks along one of the four borders, an eighth of the image wide."""
    side, turned = int(rng.integers(4)), image
    turned = image.rotate(90 * side, expand=True)
    draw, height = ImageDraw.Draw(turned), turned.height // 8
    top = turned.height - height
    draw.rectangle((0, top, turned.width, turned.height), fill="white")
    for mark, x in enumerate(range(2, turned.width, max(3, turned.width // 40))):
        draw.line((x, top, x, top + height // (2 if mark % 5 else 1)), fill="black")
    return turned.rotate(-90 * side, expand=True)


def tilted(degrees: float) -> Change:
    """Tilted, with black corners."""
    return lambda image, rng: image.rotate(degrees, Image.Resampling.BILINEAR)


CHANGES: dict[str, Change] = {
    "JPEG quality 60": compressed(60),
    "JPEG quality 30": compressed(30),
    "JPEG quality 10": compressed(10),
    "half the size": lambda image, rng: image.resize((image.width // 2, image.height // 2)),
    "brightness x 1.3": lambda image, rng: ImageEnhance.Brightness(image).enhance(1.3),
    "contrast x 0.7": lambda image, rng: ImageEnhance.Contrast(image).enhance(0.7),
    "grey": lambda image, rng: image.convert("L").convert("RGB"),
    "text in a corner": written_on,
    "flipped": lambda image, rng: ImageOps.mirror(image),
    "turned 90°": lambda image, rng: image.transpose(Image.Transpose.ROTATE_90),
    **{f"turned {degrees}°": tilted(degrees) for degrees in (2, 5, -5, 8)},
    "text anywhere": written_across,
    "ruler along a border": ruled,
    "black frame of 5 %": lambda image, rng: ImageOps.expand(image, round(0.05 * image.width), "black"),
    **{f"cropped by {p} %, middle": cropped(p / 100, False) for p in (2, 5, 10, 20)},
    **{f"cropped by {p} %, anywhere": cropped(p / 100, True) for p in (2, 5, 10, 20)},
    "flipped and cropped by 5 %": lambda image, rng: cropped(0.05, True)(ImageOps.mirror(image), rng),
}


def measure(data: str, number: int, scratch: Path, workers: int, only: str) -> dict:
    """Share of the planted copies that is found, by change, and wrong pairs between copies and originals."""
    dataset = load_data(data)
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(dataset.samples), min(number, len(dataset.samples)), replace=False))
    samples = [dataset.samples[i] for i in chosen]
    found = {}
    with Workers(workers) as pool:
        looks = pool.map(look_at, [dataset.path(s) for s in samples], "reading images")
        for name, change in ((name, change) for name, change in CHANGES.items() if only in name):
            planted = [scratch / f"{i}.png" for i in chosen]
            for s, file in zip(samples, planted, strict=True):
                change(read_image(dataset.path(s)), rng).save(file)
            copies = [Sample(f"copy of {s.path}", "copy", s.group) for s in samples]
            seen = [*looks, *pool.map(look_at, planted, name)]
            pairs = find_pairs([*samples, *copies], seen, pool)
            right = {(s.path, c.path) for s, c in zip(samples, copies, strict=True)}
            hits = right & {(p.first.path, p.second.path) for p in pairs}
            wrong = sum(p.parted for p in pairs)
            found[name] = {"found": round(len(hits) / len(right), 4), "pairs_of_different_groups": wrong}
    return {
        "data": {"name": dataset.name, "hash": dataset.hash, "images": len(dataset.samples)},
        "planted": len(chosen),
        "most_bits": candidates.TURN_LIMIT,
        "most_bits_of_a_window": candidates.WINDOW_LIMIT,
        "most_bits_of_the_same_window": candidates.SAME_WINDOW_LIMIT,
        "most_bits_of_a_tilt": candidates.TILT_LIMIT,
        "least_similarity": similarity.SAME,
        "least_similarity_of_a_tilt": similarity.SAME_TILTED,
        "changes": found,
    }


def main() -> None:
    """Read the command line, measure and write the file."""
    import tempfile

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="prepared data set")
    parser.add_argument("--images", type=int, default=300, help="images to plant copies of")
    parser.add_argument("--only", default="", help="changes with this in their name")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(arguments.data, arguments.images, Path(scratch), arguments.workers, arguments.only)
    times = os.times()
    result["cpu_seconds"] = round(times.user + times.system + times.children_user + times.children_system, 1)
    result["wall_seconds"] = round(time.perf_counter() - start, 1)
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
