"""Finds names that are probably one name written in two ways: case, Unicode form, spaces, 0 and 0.0."""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


def folded(name: str) -> str:
    """Reduce a name to what is left without case, Unicode form, spaces and ways to write a number.

    Between words an underscore or hyphen is a space.
    """
    text = INVISIBLE.sub("", unicodedata.normalize("NFKC", name))
    text = unicodedata.normalize("NFKC", text.casefold())
    text = " ".join(re.sub(r"(?<=[^\W_])[_-]+(?=[^\W_])", " ", text).split())
    if not re.fullmatch(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})", text, re.ASCII):
        return text
    number = Decimal(text)
    return str(number.normalize()) if number else "0"


def likely_slips(names: Iterable[str]) -> list[list[str]]:
    """Return sets of names that are probably meant as one, each in alphabetical order.

    Args:
        names: names, each of which may occur several times.
    """
    alike: dict[str, set[str]] = {}
    for name in names:
        alike.setdefault(folded(name), set()).add(name)
    return [sorted(found) for _, found in sorted(alike.items()) if len(found) > 1]
