"""Words for people: counts, values, and text that others wrote, such as names, made safe to show."""

from collections.abc import Iterable, Mapping
from typing import Any


def printable(text: str) -> str:
    """Replace characters that steer a terminal or turn the reading direction by U+FFFD.

    Line breaks are replaced too, so a name stays on its line.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shortened(text: str, most: int = 1000) -> str:
    """Leave the middle out of a text of more than ``most`` characters: its end says how to mend."""
    return text if len(text) <= most else f"{text[: most // 2]} [...] {text[-most // 2 :]}"


def one_line(error: BaseException, most: int | None = None) -> str:
    """Return an error's message on one line, at most so many characters; its type where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def counted(n: int | str, noun: str, plural: str | None = None, form: str = "") -> str:
    """Write a number with its noun: ``1 image``, ``2 images``.

    Args:
        n: how many, or a range in words.
        noun: the noun in the singular.
        plural: the noun in the plural; by default with an s.
        form: how the number is written, such as ``,`` for 10,015.
    """
    return f"{n:{form}} {noun if n == 1 else plural or noun + 's'}"


def patients(n: int, form: str = "") -> str:
    """Write a number of groups, which are patients or lesions: ``1 patient or lesion``; ``form`` as above."""
    return counted(n, "patient or lesion", "patients or lesions", form)


def in_words(value: Any) -> str:
    """Write a value for people, mappings and lists without Python's punctuation: ``train 0.7, val 0.1``."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {in_words(one)}" for key, one in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        parts = list(value)
        nested = any(isinstance(one, Mapping) for one in parts)
        return ("; " if nested else ", ").join(map(in_words, parts)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def p_text(p: float | None) -> str | None:
    """Write a p-value, which is never 0, however small; None where there is none."""
    return None if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
