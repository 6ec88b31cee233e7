"""Counts and values in words."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hemf
from hemf.core.text import counted, in_words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1, "image"), "1 image"),
        ((0, "image"), "0 images"),
        ((2, "patient or lesion", "patients or lesions"), "2 patients or lesions"),
        ((10015, "image", None, ","), "10,015 images"),
    ],
)
def test_a_number_agrees_with_its_noun(arguments: tuple, words: str) -> None:
    assert counted(*arguments) == words


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["x", "a b", ""])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner)),
)


@given(VALUES)
def test_no_sign_of_python_is_left(value: object) -> None:
    words = in_words(value)
    assert not set(words) & set("{}[]'\"")
    assert "None" not in words


def test_values_are_told_apart() -> None:
    assert in_words({"train": 0.7, "val": [1, 2]}) == "train 0.7, val 1, 2"
    assert in_words([{"a": 1}, {"a": True}]) == "a 1; a yes"
    assert in_words([]) == "none"


# What a user may have one of, and words before it that are no number: "no test images".
NOUNS = re.compile(
    r" (?:other |unreadable |missing |new )?(images|runs|jobs|files|pairs|lesions|patients|groups|folds|rows|"
    r"columns|classes|epochs|cores|threads|predictions)\b(?!/)"
)
NO_NUMBER = {"split", "side", "self.val_split", "known.split", "config.val_split"}


def uncounted(source: str) -> list[tuple[int, str]]:
    """Line and words of each f-string in Python source that puts a plural behind a value as it is."""
    found = []
    for text in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)):
        for value, words in zip(text.values, text.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(words, ast.Constant):
                continue
            shown = ast.unparse(value.value)
            named = shown.isupper() or shown in NO_NUMBER or shown.startswith(("counted(", "measure_text("))
            if NOUNS.match(str(words.value)) and not named:
                found.append((value.lineno, f"{{{shown}}}{words.value}"))
    return found


@pytest.mark.parametrize("line", ['f"{n} images"', 'f"{len(x):,} runs in {y}"', 'f"1 of {n} classes"'])
def test_a_count_without_its_noun_is_found(line: str) -> None:
    assert uncounted(line)


@pytest.mark.parametrize(
    "line", ["f\"{counted(n, 'image')} lie\"", 'f"{n:.1f} images/s"', 'f"no {split} images"']
)
def test_counted_nouns_are_let_pass(line: str) -> None:
    assert not uncounted(line)


def test_no_word_says_1_images() -> None:
    sources = [path for root in hemf.__path__ for path in Path(root).rglob("*.py")]
    found = [
        f"{path}:{line}: {words}"
        for path in sources
        for line, words in uncounted(path.read_text(encoding="utf-8"))
    ]
    assert len(sources) > 100
    assert not found, "use hemf.core.text.counted: " + "; ".join(found)
