"""Columns that may tell who a patient is stay out of a manifest unless asked for.

What is kept travels into runs and their results, which are passed on. So a column is kept only where neither
its name nor its values look like what identifies a person; of the HIPAA Safe Harbor list that is names,
places smaller than a state, dates, contact details, and numbers of all kinds.
"""

import re
from collections.abc import Sequence

from hemf.core.errors import HemfError
from hemf.data.columns import known, looks_like_groups, rank_of
from hemf.data.metadata.column import kind_of

AUTO, NONE = "auto", "none"
WORDS = {
    "names": "name surname forename firstname lastname fullname initials vorname",
    "dates": "birth birthday birthdate dob born date datetime time timestamp",
    "identifiers": "id ids uid uuid guid mrn ssn nhs passport insurance hash pseudonym code key accession",
    "contact details": "address street zip zipcode postcode city phone telephone fax email mail url ip",
}
KINDS = {kind: frozenset(words.split()) for kind, words in WORDS.items()}
"""Words in the name of a column, by what it may then hold."""
DATE = re.compile(r"(\d{4}-\d\d?-\d\d?|\d{8}|\d{4}/\d\d?/\d\d?|\d\d?[./-]\d\d?[./-](\d{4}|\d\d))([ T].*)?")
LONG_NUMBER = re.compile(r"0\d+|\d{5,}")
LEAST_UNIQUE = 0.5
"""Share of the images from which on, where each has a text of its own, the texts identify them."""


def why_private(name: str, values: Sequence[str], classes: int) -> str | None:
    """Return what a column may hold that tells who a patient is; None where it looks harmless.

    Args:
        name: its name.
        values: one for each image, "" where there is none.
        classes: number of classes.
    """
    words = set(re.split(r"[\W_\d]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()))
    for kind, telling in KINDS.items():
        if words & telling:
            return kind
    if rank_of(name) is not None or looks_like_groups(name, values, classes):
        return "identifiers"
    given = [value for value in values if value]
    patterns = {"contact details": re.compile(".+@.+"), "dates": DATE, "identifiers": LONG_NUMBER}
    for kind, pattern in patterns.items():
        if given and sum(bool(pattern.fullmatch(value)) for value in given) > len(given) / 2:
            return kind
    different = len(set(given))
    if kind_of(values) == "category" and different > max(20, LEAST_UNIQUE * len(given)):
        return "a text for each image"
    return None


def kept_columns(
    columns: dict[str, list[str]], taken: Sequence[str], classes: int, wanted: str = AUTO
) -> tuple[list[str], dict[str, str]]:
    """Choose the columns that travel with the images, and say why each other one does not.

    Args:
        columns: values of each column, one for each image.
        taken: names that a manifest has for its own columns.
        classes: number of classes.
        wanted: ``auto`` for all that look harmless, ``none``, or names with commas between, each of which is
            kept whatever it holds.

    Raises:
        HemfError: no such column, or it has the name of a manifest's own.
    """
    if wanted == NONE:
        return [], dict.fromkeys(columns, "not asked for")
    if wanted != AUTO:
        asked = [name for name in map(str.strip, wanted.split(",")) if name]
        for name in asked:
            _check_asked(name, columns, taken)
        return asked, {name: "not asked for" for name in columns if name not in asked}
    why: dict[str, str] = {}
    for name, values in columns.items():
        if name.casefold() in taken:
            why[name] = "a name of hemf's own"
        elif private := why_private(name, list(map(known, values)), classes):
            why[name] = f"may hold {private}"
    return [name for name in columns if name not in why], why


def _check_asked(name: str, columns: dict[str, list[str]], taken: Sequence[str]) -> None:
    if name not in columns:
        raise HemfError(f"no column {name!r} for --columns; there are {', '.join(columns) or 'none'}")
    if name.casefold() in taken:
        raise HemfError(f"column {name!r} has a name of hemf's own, so it cannot be kept; rename it")
