"""What the audit finds of changed copies: tilted, with a ruler or a text, and no pair of different images."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from hemf.auditing.duplicates import find_pairs
from hemf.auditing.scan import Workers, look_at
from hemf.data.dataset import Sample
from hemf.data.image.hashes import TURN_NAMES


def skin(seed: int) -> Image.Image:
    """A spot on plain skin, with hairs: to a coarse hash one is much like another."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (200, 150), (215, 170, 150))
    draw = ImageDraw.Draw(image)
    x, y = 100 + rng.integers(-25, 25), 75 + rng.integers(-20, 20)
    width, height = rng.integers(20, 45, 2)
    draw.ellipse((x - width, y - height, x + width, y + height), fill=(120, 70, 60))
    for _ in range(45):
        start, end = rng.integers(0, (200, 150)), rng.integers(0, (200, 150))
        draw.line((*start, *(start + (end - start) // 3)), fill=tuple(rng.integers(40, 110, 3)), width=4)
    return Image.fromarray(
        (np.asarray(image) + rng.normal(0, 2, (150, 200, 3))).clip(0, 255).astype(np.uint8)
    )


def tilted(image: Image.Image) -> Image.Image:
    return image.rotate(5, Image.Resampling.BILINEAR)


def tilted_back(image: Image.Image) -> Image.Image:
    return image.rotate(-4, Image.Resampling.BILINEAR, fillcolor=(215, 170, 150))


def ruled(image: Image.Image) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 130, 200, 150), fill="white")
    for mark in range(2, 200, 5):
        draw.line((mark, 130, mark, 142), fill="black")
    return image


def written_on(image: Image.Image) -> Image.Image:
    image = image.copy()
    font = ImageFont.load_default(size=16)
    ImageDraw.Draw(image).text((35, 20), "2026-12-01 R", fill="yellow", font=font)
    return image


@pytest.mark.parametrize("change", [tilted, tilted_back, ruled, written_on])
@pytest.mark.parametrize("copy_first", [False, True])
def test_changed_copies_are_found_and_no_other_pair(change, copy_first, tmp_path):
    samples = []
    for i in range(12):
        original = skin(i)
        for kind, image in (("original", original), ("copy", change(original))):
            image.save(tmp_path / f"{i}-{kind}.png")
            samples.append(Sample(f"{i}-{kind}.png", "a"))
    samples.sort(key=lambda s: ("original" in s.path) == copy_first)
    looks = [look_at(tmp_path / s.path) for s in samples]
    pairs = find_pairs(samples, looks, Workers(0))
    found = {p.first.path.split("-")[0] for p in pairs}
    assert all(p.first.path.split("-")[0] == p.second.path.split("-")[0] for p in pairs)
    assert len(found) >= 11
    assert all(p.turn in TURN_NAMES for p in pairs)
    if change is tilted:
        assert {p.turn for p in pairs} <= {"tilted 3°", "tilted -3°", "tilted 6°", "tilted -6°"}
