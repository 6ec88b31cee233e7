"""The page of a comparison: who is better, in words to read aloud, and nothing claimed that is not shown."""

import re
from pathlib import Path

import pytest

from hemf.report.comparison import write_comparison


def report(
    difference: float, low: float, high: float, p: float, names: tuple[str, str] = ("a", "<b>")
) -> dict:
    found = {"difference": difference, "ci95": [low, high], "p": p, "p_holm": p}
    one = {"value": 0.8, "n": 50, "ci95": [0.7, 0.9]}
    pair = {
        "first": names[0],
        "second": names[1],
        "bootstrap": {"accuracy": found},
        "mcnemar": {"only_first_right": 7, "only_second_right": 3, "method": "exact", "p": p, "p_holm": p},
        "delong": {"macro": found, "per_class": {"x": found, "y": found}},
    }
    return {
        "data": "d",
        "split": "test",
        "n": 50,
        "runs": list(names),
        "models": [{"name": name, "metrics": {"accuracy": one}} for name in names],
        "pairs": [pair],
        "notes": ["Warning: a was trained on 3 of these images."],
    }


def text_of(tmp_path: Path, *found: float) -> str:
    write_comparison(tmp_path / "page.html", report(*found))
    return (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ((0.04, 0.01, 0.07, 0.0), "Of 100 images, a has 4 (1 to 7) more right than &lt;b&gt;."),
        ((-0.04, -0.07, 0.01, 0.2), "Of 100 images, &lt;b&gt; has 4 (-1 to 7) more right than a."),
    ],
)
def test_says_how_many_more_are_right(tmp_path: Path, found: tuple, says: str) -> None:
    assert says in text_of(tmp_path, *found)


def test_judges_by_p_and_never_prints_it_as_zero(tmp_path: Path) -> None:
    sure = text_of(tmp_path, 0.04, 0.01, 0.07, 1e-9)
    assert "a is better: accuracy differs by +0.040 (+0.010 to +0.070), p &lt; 0.001." in sure
    assert "0.000" not in re.sub(r"[+-]", "", sure)
    unsure = text_of(tmp_path, 0.04, -0.01, 0.09, 0.2)
    assert "Not told apart by these images, which does not make them equal" in unsure
    assert "is better:" not in unsure


def test_draws_differences_about_zero_and_names_the_counts(tmp_path: Path) -> None:
    text = text_of(tmp_path, 0.05, 0.0, 0.1, 0.04)
    assert '<line class="zero" x1="50.0%"' in text
    assert '<circle class="dot" cx="75.0%"' in text
    assert "accuracy, McNemar (exact), 7 : 3" in text
    assert "Warning: a was trained on 3 of these images." in text
