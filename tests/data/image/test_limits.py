"""One limit for all images, in pixels that count by their bytes, judged before anything is decoded."""

import pytest

from hemf import load
from hemf.core.errors import HemfError, UnreadableImage
from hemf.data.image.limits import (
    MAX_PIXELS,
    check_bytes,
    check_pixels,
    max_bytes,
    max_pixels,
    set_max_pixels,
)


@pytest.fixture(autouse=True)
def _default_again():
    yield
    set_max_pixels(MAX_PIXELS)


@pytest.mark.parametrize(
    ("pixel_bytes", "allowed"),
    [(3, 100_000_000), (1, 150_000_000), (2, 120_000_000), (6, 66_666_666), (8, 54_545_454)],
)
def test_a_pixel_counts_by_the_bytes_it_needs(pixel_bytes, allowed):
    check_pixels("a.png", allowed, 1, pixel_bytes)
    with pytest.raises(UnreadableImage, match=rf"^a\.png is .*at most {allowed:,} .*--max-pixels$"):
        check_pixels("a.png", allowed + 1, 1, pixel_bytes)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (2**31, 2**31), (2**62, 2**62)])
def test_absurd_sizes_are_refused(size):
    with pytest.raises(UnreadableImage, match=r"^a\.png is "):
        check_pixels("a.png", *size)


def test_the_limit_can_be_set_and_covers_files_too():
    set_max_pixels(1000)
    assert max_pixels() == 1000
    check_pixels("a.png", 50, 20)
    check_bytes("a.png", max_bytes())
    with pytest.raises(UnreadableImage, match="--max-pixels"):
        check_pixels("a.png", 50, 21)
    with pytest.raises(UnreadableImage, match=r"a\.png inflates to 6,001 bytes"):
        check_bytes("a.png", max_bytes() + 1, "inflates to")
    with pytest.raises(HemfError, match="--max-pixels 0"):
        set_max_pixels(0)


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_that_read_have_the_limit(made_run, workers):
    images = made_run.parents[1] / "images"
    set_max_pixels(2500)
    failed = []
    found = list(load(made_run, "fp32", "cpu").stream([str(images)], 4, workers, failed.append))
    assert len(found) + len(failed) == 24
    assert 0 < len(failed) < 24
    assert all("--max-pixels" in message for message in failed)
